// Things that last as long as this Node process and are cleaned up after it, whatever ends it.
import { assertLinux } from '@ctr/internal/errors';
import type { Step } from '@ctr/internal/steps';
import { Launcher } from './launcher/launcher.js';
import type { HintSource } from './launcher/start-error.js';
import { callNative } from './native.js';
import { holdPlan } from './plan/plan.js';
import { defaultHints } from './spawn/hints.js';

export interface HoldOptions {
  /** For error messages: 'open the session'. */
  doing: string;
  /** Run in the monitor now; slots that they fill stay open until the release. */
  prepare: readonly Step[];
  /** Run in the monitor at the release, or when this Node process is gone: after those of all containers. */
  cleanup: readonly Step[];
  hints?: HintSource;
}

/** Something that the monitor holds for this process. */
export interface Hold {
  /** Runs the clean-up steps; resolves when they are done. Rejects with CleanupError CTR_CLEANUP_FAILED. */
  release(): Promise<void>;
}

/**
 * Lets the monitor hold something without a process: a lock, a state directory, a parent cgroup.
 * The clean-up steps run even after `kill -9` of this process.
 *
 * @throws StartError CTR_START_FAILED when a step of `prepare` fails; `cleanup` has then run.
 */
export async function hold(options: HoldOptions): Promise<Hold> {
  assertLinux('hold()');
  const release = await Launcher.current.hold(holdPlan(options.doing, options.prepare, options.cleanup), options.hints ?? defaultHints);
  return { release };
}

/**
 * The pid of this environment's monitor; `undefined` before the first use, and once it is known to have ended. What a
 * {@link hold} kept lasts as long as this stays the same.
 */
export function monitorPid(): number | undefined {
  return Launcher.existing?.pid;
}

/**
 * Ends the monitor of this environment: kills what still runs and resolves when nothing is left of anything.
 * Node's own end does the same, so this is for tests and for programs that want to see it done.
 *
 * @throws CleanupError CTR_CLEANUP_FAILED with what could not be cleaned up.
 */
export async function closeLauncher(): Promise<void> {
  await Launcher.close();
}

const LOCK_EX = 2;
const LOCK_NB = 4;
const EAGAIN = -11;

/**
 * flock(2) without waiting: takes the exclusive lock of an open file description.
 *
 * @returns False when somebody else holds it.
 * @see <https://man7.org/linux/man-pages/man2/flock.2.html>
 */
export function tryFlock(fd: number): boolean {
  try {
    callNative('take a lock', (b) => b.flock(fd, LOCK_EX | LOCK_NB));
    return true;
  } catch (e) {
    if ((e as { errno?: number }).errno === EAGAIN) return false;
    throw e;
  }
}
