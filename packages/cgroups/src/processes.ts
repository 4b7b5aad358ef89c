// Which processes are in a cgroup and those below it, and their end.
import { UnsupportedError } from '@ctr/internal/errors';
import { parseFlat } from './controllers/controller.js';
import { THAWED } from './controllers/freezer.js';
import { setFrozen } from './freeze.js';
import { childrenOf, codeOf, tryRead, writeControl } from './kernfs.js';
import type { CgroupDirectories } from './names.js';
import { PATIENCE_MS, pollUntil, timedOut, type Wait, watchUntil } from './wait.js';

/** The pids of one directory and all below, as this process sees them; those of another pid namespace read as 0 and are left out. */
function pidsBelow(directory: string): number[] {
  const own = (tryRead(`${directory}/cgroup.procs`) ?? '').split('\n').map(Number);
  return [...own.filter((pid) => pid > 0), ...childrenOf(directory).flatMap(pidsBelow)];
}

/** Every process that is in one of the hierarchies, sorted. */
export function listPids(directories: CgroupDirectories): number[] {
  const all = [...new Set(Object.values(directories))].flatMap(pidsBelow);
  return [...new Set(all)].sort((a, b) => a - b);
}

/** The threads of one directory and all below. v1 calls the file `tasks`. */
function threadsBelow(directory: string): number[] {
  const text = tryRead(`${directory}/cgroup.threads`) ?? tryRead(`${directory}/tasks`) ?? '';
  return [
    ...text
      .split('\n')
      .map(Number)
      .filter((tid) => tid > 0),
    ...childrenOf(directory).flatMap(threadsBelow),
  ];
}

/** Every thread that is in one of the hierarchies, sorted. */
export function listThreads(directories: CgroupDirectories): number[] {
  const all = [...new Set(Object.values(directories))].flatMap(threadsBelow);
  return [...new Set(all)].sort((a, b) => a - b);
}

const wait = (directory: string): Wait => ({ directory, doing: 'kill', hint: 'a process hangs in the kernel: ps shows it in state D' });

/** KERNEL(5.14): one write ends all, those that fork meanwhile too. What v1 has frozen does not die before it is thawed. */
async function killV2(directory: string, freezer: string | undefined): Promise<void> {
  await writeControl(`${directory}/cgroup.kill`, '1').catch(unlessGone);
  if (freezer !== undefined && freezer !== directory) await writeControl(`${freezer}/freezer.state`, THAWED).catch(unlessGone);
  const empty = (): boolean => (parseFlat(tryRead(`${directory}/cgroup.events`))['populated'] ?? 0) === 0;
  await watchUntil(`${directory}/cgroup.events`, empty, wait(directory));
}

/** A cgroup that is gone holds nothing to kill. */
function unlessGone(error: unknown): void {
  if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENODEV') throw error;
}

function killEach(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (codeOf(error) !== 'ESRCH') throw error;
    }
  }
}

/** How long one round of killing waits for its victims before it looks for new ones. */
const ROUND_MS = 50;

/** Frozen processes neither fork nor end, so no pid is reused between reading and killing; they die as they are thawed. */
async function killFrozen(directories: CgroupDirectories): Promise<void> {
  const freezable = directories['freezer'] !== undefined;
  // A process that cannot be frozen (state D) can be killed no better, but the others can.
  if (freezable) await setFrozen(directories, true, 500).catch(() => undefined);
  try {
    killEach(listPids(directories));
  } finally {
    if (freezable) await setFrozen(directories, false).catch(unlessGone);
  }
}

async function killV1(directories: CgroupDirectories): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  const gone = (): boolean => listPids(directories).length === 0;
  while (!gone()) {
    if (performance.now() > end) throw timedOut(wait(Object.values(directories)[0] ?? ''));
    await killFrozen(directories);
    const round = performance.now() + ROUND_MS;
    await pollUntil(() => gone() || performance.now() > round, wait(''));
  }
}

/** Ends every process and waits until all are gone: also one that is in v1 hierarchies only, which cgroup.kill does not see. */
export async function killAll(directories: CgroupDirectories): Promise<void> {
  const { unified, freezer } = directories;
  if (Object.keys(directories).length === 0) throw new UnsupportedError('killing a cgroup', 'a cgroup', 'none');
  if (unified !== undefined) await killV2(unified, freezer);
  await killV1(Object.fromEntries(Object.entries(directories).filter(([, directory]) => directory !== unified)));
}
