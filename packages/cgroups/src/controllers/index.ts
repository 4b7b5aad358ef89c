// All controllers by name.
import type { Controller } from './controller.js';
import { cpu, cpuacct } from './cpu.js';
import { cpuset } from './cpuset.js';
import { devices } from './devices.js';
import { freezer } from './freezer.js';
import { blkio, io } from './io.js';
import { memory } from './memory.js';
import { pids } from './pids.js';

/** In the order in which their limits are written. */
export const CONTROLLERS: readonly Controller<unknown>[] = [cpuset, cpu, cpuacct, memory, pids, devices, freezer, blkio, io];

export { cpu, cpuset, io, memory, pids };
