// All controllers by name.
import type { Controller } from './controller.js';
import { cpu, cpuacct } from './cpu.js';
import { cpuset } from './cpuset.js';
import { devices } from './devices.js';
import { freezer } from './freezer.js';
import { hugetlb } from './hugetlb.js';
import { blkio, io } from './io.js';
import { memory } from './memory.js';
import { misc } from './misc.js';
import { netCls, netPrio, perfEvent } from './network.js';
import { pids } from './pids.js';
import { rdma } from './rdma.js';

/** In the order in which their limits are written. */
export const CONTROLLERS: readonly Controller<unknown>[] = [
  cpuset,
  cpu,
  cpuacct,
  memory,
  pids,
  devices,
  freezer,
  blkio,
  io,
  hugetlb,
  rdma,
  misc,
  netCls,
  netPrio,
  perfEvent,
];

export { cpu, cpuset, hugetlb, io, memory, misc, pids, rdma };
