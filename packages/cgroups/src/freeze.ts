// Stopping all processes of a cgroup where they are, and letting them go on.
import { UnsupportedError } from '@ctr/internal/errors';
import { parseFlat } from './controllers/controller.js';
import { FROZEN, THAWED } from './controllers/freezer.js';
import { readControl, tryRead, writeControl } from './kernfs.js';
import type { CgroupDirectories } from './names.js';
import { pollUntil, type Wait, watchUntil } from './wait.js';

const wait = (directory: string, frozen: boolean, patienceMs?: number): Wait => ({
  directory,
  doing: frozen ? 'freeze' : 'thaw',
  hint: 'a process hangs in the kernel: ps shows it in state D',
  patienceMs,
});

/** A cgroup that is gone has nothing left to freeze or thaw. */
const eventIs = (directory: string, name: string, value: number): boolean => {
  const text = tryRead(`${directory}/cgroup.events`);
  return text === null || parseFlat(text)[name] === value;
};

async function setV2(directory: string, frozen: boolean, patienceMs?: number): Promise<void> {
  await writeControl(`${directory}/cgroup.freeze`, frozen ? '1' : '0');
  await watchUntil(`${directory}/cgroup.events`, () => eventIs(directory, 'frozen', frozen ? 1 : 0), wait(directory, frozen, patienceMs));
}

/** A process that forks while it is frozen leaves FREEZING behind; reading the state makes the kernel look again. */
async function setV1(directory: string, frozen: boolean, patienceMs?: number): Promise<void> {
  const file = `${directory}/freezer.state`;
  const target = frozen ? FROZEN : THAWED;
  await writeControl(file, target);
  await pollUntil(() => readControl(file).trim() === target, wait(directory, frozen, patienceMs));
}

/** v2's freezer where the cgroup has a cgroup2 directory, v1's else. Thaws again when freezing fails. */
export async function setFrozen(directories: CgroupDirectories, frozen: boolean, patienceMs?: number): Promise<void> {
  const { unified, freezer } = directories;
  const [set, directory] = unified !== undefined ? [setV2, unified] : [setV1, freezer];
  if (directory === undefined)
    throw new UnsupportedError('freezing', 'a cgroup2 directory or the v1 freezer controller', 'a cgroup with neither');
  try {
    await set(directory, frozen, patienceMs);
  } catch (error) {
    if (frozen) await set(directory, false).catch(() => undefined);
    throw error;
  }
}
