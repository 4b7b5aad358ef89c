// A cgroup that exists: observe it, change its limits, freeze it, end what is in it, remove it.
import { assertLinux, errnoNumber, InvalidArgumentError, SyscallError, syscallErrorFrom } from '@ctr/internal/errors';
import { setFrozen } from './freeze.js';
import { makeDirectory, removeDirectory, tryRead, writeControl } from './kernfs.js';
import type { CgroupDirectories } from './names.js';
import { type OomEvent, oomEvents } from './oom-events.js';
import type { CgroupParent } from './parent/parent.js';
import { type Layout, layOut } from './plan/layout.js';
import { killAll, listPids } from './processes.js';
import { removeTrees } from './remove.js';
import type { Resources } from './resources.js';
import { type CgroupStats, readStats } from './stats.js';
import { updateLimits } from './update.js';

/**
 * A cgroup that exists, in one or several hierarchies. Made by {@link createCgroup}, or by a launcher from
 * {@link describeCgroup} and then taken up by {@link openCgroup}. It holds no descriptors: to drop it leaks nothing here,
 * but the cgroup stays until {@link Cgroup.remove}.
 */
export class Cgroup {
  /** Its directory for each controller; plain data, enough for {@link openCgroup}. */
  readonly directories: CgroupDirectories;
  readonly #removed = new AbortController();

  /** @internal Use {@link createCgroup} or {@link openCgroup}. */
  constructor(directories: CgroupDirectories) {
    this.directories = Object.freeze({ ...directories });
  }

  /** Each directory once. */
  get #all(): string[] {
    return [...new Set(Object.values(this.directories))];
  }

  /**
   * What it uses and has used.
   *
   * @throws {SyscallError} ENOENT when the cgroup is gone
   */
  async stats(): Promise<CgroupStats> {
    const first = this.#all[0];
    if (first !== undefined && tryRead(`${first}/cgroup.procs`) === null)
      throw new SyscallError({ errno: errnoNumber('ENOENT'), syscall: 'open', path: first, doing: 'read the statistics of the cgroup' });
    return readStats(this.directories);
  }

  /**
   * Changes the limits that are named and leaves the others; all of them or none.
   *
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a bad value, and for `devices`, which cannot be changed
   * @throws {UnsupportedError} CTR_UNSUPPORTED for a limit that this cgroup's controllers do not have
   * @throws {SyscallError} EBUSY when more memory is in use than the new limit (v1), EINVAL when the kernel refuses the value
   */
  update(resources: Resources): Promise<void> {
    return updateLimits(this.directories, resources);
  }

  /**
   * Stops every process where it is, and waits until all have stopped.
   *
   * @throws {SyscallError} ETIMEDOUT when one does not within 10 s; then all go on
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when this process is in it itself
   * @throws {UnsupportedError} CTR_UNSUPPORTED without cgroup2 and without v1's freezer
   */
  async freeze(): Promise<void> {
    this.#refuseOwn('freeze');
    await this.#doing('freeze', setFrozen(this.directories, true));
  }

  /** Lets every process go on. */
  thaw(): Promise<void> {
    return this.#doing('thaw', setFrozen(this.directories, false));
  }

  /**
   * Ends every process in it and below with SIGKILL, also a frozen one and one that forks without end, and waits until
   * all are gone. One write to `cgroup.kill` where the cgroup has a cgroup2 directory; else freeze, kill each, thaw.
   *
   * @throws {SyscallError} ETIMEDOUT when a process does not die within 10 s, EPERM when it may not be killed
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when this process is in it itself
   */
  async kill(): Promise<void> {
    this.#refuseOwn('kill');
    await this.#doing('kill', killAll(this.directories));
  }

  /** The pids in it and below, in ascending order, as this process sees them. */
  async pids(): Promise<number[]> {
    return listPids(this.directories);
  }

  /**
   * Moves a running process with all its threads into it. What it has used before stays counted where it was.
   *
   * @remarks The kernel waits for an RCU grace period: some milliseconds for each hierarchy. A launcher that starts the
   * process inside ({@link describeCgroup}) does not.
   * @throws {SyscallError} ESRCH when there is no such process, EACCES when it may not be moved
   */
  async add(pid: number): Promise<void> {
    if (!Number.isSafeInteger(pid) || pid < 1) throw new InvalidArgumentError('pid', 'the number of a process', pid);
    for (const d of this.#all) await this.#doing(`move process ${pid}`, writeControl(`${d}/cgroup.procs`, `${pid}`));
  }

  /**
   * Tells each time the OOM killer has taken processes of this cgroup, until the cgroup is removed or `signal` fires.
   * What happened before the first `next()` is not told; {@link Cgroup.stats} counts it.
   *
   * @throws {UnsupportedError} CTR_UNSUPPORTED without the memory controller
   * @example
   * ```ts
   * for await (const { oomKills } of cgroup.oomEvents({ signal })) console.error(`${oomKills} killed so far`)
   * ```
   */
  oomEvents(options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<OomEvent> {
    const signals = [this.#removed.signal, ...(options.signal ? [options.signal] : [])];
    return oomEvents(this.directories, AbortSignal.any(signals));
  }

  /**
   * Removes it, with the cgroups below it. What is gone already is fine.
   *
   * @throws {CleanupError} CTR_CLEANUP_FAILED when processes are in it: {@link Cgroup.kill} first
   */
  async remove(): Promise<void> {
    this.#removed.abort();
    await removeTrees(this.#all, 'the cgroup', { nested: true });
  }

  /** Ends what is in it, then removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#all.length === 0) return;
    await this.kill();
    await this.remove();
  }

  /** Nobody could thaw us, and nobody would hear of the success. */
  #refuseOwn(what: string): void {
    if (listPids(this.directories).includes(process.pid))
      throw new InvalidArgumentError('cgroup', `one that this process is not in itself, to ${what} it`, this.#all[0]);
  }

  async #doing(what: string, work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      throw syscallErrorFrom(error, `${what} in the cgroup ${this.#all[0]}`);
    }
  }
}

/** Makes and limits; what it made is in `made`, also when it throws. */
async function make(layout: Layout, name: string, made: string[]): Promise<void> {
  const doing = `make the cgroup ${JSON.stringify(name)}`;
  for (const { directory } of layout.made) {
    const fresh = await failing(doing, makeDirectory(directory));
    if (!fresh)
      throw new SyscallError(
        { errno: errnoNumber('EEXIST'), syscall: 'mkdir', path: directory, doing },
        { hint: 'names are unique below a parent' },
      );
    made.push(directory);
  }
  for (const l of layout.limits)
    await failing(`limit ${l.option} (write ${JSON.stringify(l.value)} to ${l.file})`, writeControl(l.file, l.value));
}

const failing = <T>(doing: string, work: Promise<T>): Promise<T> =>
  work.catch((error: unknown) => {
    throw syscallErrorFrom(error, doing);
  });

async function undo(made: readonly string[], error: Error & { cleanup?: Error[] }): Promise<void> {
  const errors: Error[] = [];
  for (const directory of made) await removeDirectory(directory).catch((e: Error) => errors.push(e));
  if (errors.length > 0) error.cleanup = errors;
}

/**
 * Makes a cgroup with limits now, in every hierarchy of the parent; no process is in it yet.
 *
 * @param name unique below the parent; 1 to 200 of a-z 0-9 . _ -
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a bad name or value
 * @throws {UnsupportedError} CTR_UNSUPPORTED for a limit that this host cannot enforce, before anything is made
 * @throws {SyscallError} EEXIST when the name is taken, EINVAL when the kernel refuses a value; then nothing is left
 * @see {@link describeCgroup} for a launcher that puts a process in before it runs
 * @example
 * ```ts
 * await using box = await createCgroup(parent, 'job-1', { memory: 64 * 1024 * 1024, pids: 20 })
 * await box.add(child.pid)
 * ```
 */
export async function createCgroup(parent: CgroupParent, name: string, resources: Resources = {}): Promise<Cgroup> {
  const layout = layOut(parent, name, resources);
  assertLinux('cgroups');
  const made: string[] = [];
  try {
    await make(layout, name, made);
  } catch (error) {
    await undo(made, error as Error & { cleanup?: Error[] });
    throw error;
  }
  return new Cgroup(layout.directories);
}

/**
 * Takes up a cgroup that exists, as one that a launcher made from {@link describeCgroup}, or one of an earlier program.
 *
 * @param directories as {@link Cgroup.directories}: absolute, one for each controller, `unified` for cgroup2
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when a directory is no absolute path
 */
export function openCgroup(directories: CgroupDirectories): Cgroup {
  if (typeof directories !== 'object' || directories === null)
    throw new InvalidArgumentError('directories', 'an object of paths', directories);
  for (const [controller, directory] of Object.entries(directories)) {
    const ok =
      typeof directory === 'string' && directory.startsWith('/') && !directory.includes('\0') && !directory.split('/').includes('..');
    if (!ok) throw new InvalidArgumentError(`directories.${controller}`, 'an absolute path without ".."', directory);
  }
  return new Cgroup(directories);
}
