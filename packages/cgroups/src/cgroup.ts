// A cgroup that exists: observe it, change its limits, freeze it, end what is in it, remove it.
import { existsSync } from 'node:fs';
import { assertLinux, errnoNumber, InvalidArgumentError, SyscallError, syscallErrorFrom, UnsupportedError } from '@ctr/internal/errors';
import { checkDelegate, type DelegateOptions, delegateTo } from './delegate.js';
import { DeviceProgram } from './device-programs.js';
import { type CgroupEvent, cgroupEvents, checkKinds, type EventOptions } from './events.js';
import { setFrozen } from './freeze.js';
import { codeOf, makeDirectory, removeDirectory, writeControl } from './kernfs.js';
import { readLimits } from './limits.js';
import type { CgroupDirectories } from './names.js';
import { type OomEvent, oomEvents } from './oom-events.js';
import type { CgroupParent } from './parent/parent.js';
import { type Layout, layOut } from './plan/layout.js';
import { checkTrigger, type PressureEvent, type PressureTrigger, pressureEvents } from './pressure.js';
import { killAll, listPids, listThreads } from './processes.js';
import { removeTrees } from './remove.js';
import type { Resources } from './resources.js';
import { type CgroupStats, checkParts, readStats, type StatsOptions, type StatsPart } from './stats.js';
import { type UpdateOptions, updateLimits } from './update.js';
import { type CgroupSample, checkWatch, type WatchOptions, watchStats } from './watch-stats.js';

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
  async stats(options: StatsOptions = {}): Promise<CgroupStats> {
    checkParts(options.only);
    this.#refuseGone('read the statistics of the cgroup');
    return readStats(this.directories, options.only);
  }

  /**
   * Reads the statistics again and again, with the rates between two readings, until the cgroup is gone or `signal`
   * fires. The first reading comes at once.
   *
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a bad option
   * @example
   * ```ts
   * for await (const { rates, memory } of cgroup.watch({ interval: 500, signal })) console.log(rates.cpuPercent, memory?.usageBytes)
   * ```
   */
  watch(options: WatchOptions = {}): AsyncIterable<CgroupSample> {
    checkParts(options.only);
    checkWatch(options);
    const read = (only?: readonly StatsPart[]): CgroupStats | null => (this.#exists() ? readStats(this.directories, only) : null);
    return watchStats(read, options, this.#until(options.signal));
  }

  /**
   * The limits that the kernel holds now, in the words of {@link Resources}; what is not limited is left out. Weights come in
   * the host's own numbers: `cpuShares` on v1, `cpuWeight` on v2.
   *
   * @throws {SyscallError} ENOENT when the cgroup is gone
   */
  async limits(): Promise<Resources> {
    this.#refuseGone('read the limits of the cgroup');
    return readLimits(this.directories);
  }

  /**
   * Changes the limits that are named and leaves the others; all of them or none. `null` takes a limit away.
   *
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a bad value, and for `devices` on v1, which cannot be changed
   * @throws {UnsupportedError} CTR_UNSUPPORTED for a limit that this cgroup's controllers do not have
   * @throws {SyscallError} EBUSY when more memory is in use than the new limit (v1, or `checkBeforeUpdate`), EINVAL when the
   * kernel refuses the value
   * @example
   * ```ts
   * await box.update({ memory: 256 * 1024 * 1024, cpus: null })
   * ```
   */
  update(resources: Resources, options: UpdateOptions = {}): Promise<void> {
    return updateLimits(this.directories, resources, options);
  }

  /**
   * Takes memory away from its processes now, by dropping page cache and swapping out; the limit stays.
   *
   * @param bytes how much, at least one page; the kernel may take a little more
   * @throws {UnsupportedError} CTR_UNSUPPORTED without v2's memory controller, or before Linux 5.19
   * @throws {SyscallError} EAGAIN when less than that could be had
   */
  async reclaim(bytes: number): Promise<void> {
    if (!Number.isSafeInteger(bytes) || bytes < 4096)
      throw new InvalidArgumentError('bytes', `a whole number of bytes from 4096 to ${Number.MAX_SAFE_INTEGER}`, bytes);
    const { memory, unified } = this.directories;
    const file = `${memory}/memory.reclaim`;
    if (memory === undefined || memory !== unified || !existsSync(file))
      throw new UnsupportedError('reclaiming memory', 'Linux 5.19 and the memory controller of cgroup v2', `no ${file}`);
    await this.#doing('reclaim memory', writeControl(file, `${bytes}`));
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

  /** The ids of the threads in it and below, in ascending order, as this process sees them. */
  async threads(): Promise<number[]> {
    return listThreads(this.directories);
  }

  /**
   * Hands it over to another user, who may then make and fill cgroups below it: changes the owner of the directories and
   * of the files that `/sys/kernel/cgroup/delegate` names. Its own limits stay with this user.
   *
   * @throws {SyscallError} EPERM when this user may give nothing away
   * @see {@link https://docs.kernel.org/admin-guide/cgroup-v2.html#delegation}
   */
  async delegate(options: DelegateOptions): Promise<void> {
    checkDelegate(options);
    await delegateTo(this.directories, options);
  }

  /**
   * Moves a running process with all its threads into it. What it has used before stays counted where it was.
   *
   * @remarks The kernel waits for an RCU grace period: some milliseconds for each hierarchy. A launcher that starts the
   * process inside ({@link describeCgroup}) does not.
   * @throws {SyscallError} ESRCH when there is no such process, EACCES when it may not be moved, EBUSY when v2's rule
   * stands against it: a cgroup that gives controllers to its children holds no processes itself
   */
  async add(pid: number): Promise<void> {
    if (!Number.isSafeInteger(pid) || pid < 1) throw new InvalidArgumentError('pid', 'the number of a process', pid);
    for (const d of this.#all) await this.#doing(`move process ${pid}`, writeControl(`${d}/cgroup.procs`, `${pid}`), MOVE_HINTS);
  }

  /**
   * Moves a single thread into it. v1 takes any thread; v2 only within a threaded subtree, see {@link Cgroup.makeThreaded}.
   *
   * @param tid as {@link Cgroup.threads} and /proc/PID/task tell them
   * @throws {SyscallError} ESRCH when there is no such thread, EOPNOTSUPP when the cgroup is not threaded (v2)
   */
  async addThread(tid: number): Promise<void> {
    if (!Number.isSafeInteger(tid) || tid < 1) throw new InvalidArgumentError('tid', 'the number of a thread', tid);
    for (const d of this.#all) {
      const file = d === this.directories['unified'] ? 'cgroup.threads' : 'tasks';
      await this.#doing(`move thread ${tid}`, writeControl(`${d}/${file}`, `${tid}`), MOVE_HINTS);
    }
  }

  /**
   * Makes it a threaded cgroup of v2: threads of one process may then be in different cgroups below the same parent, and
   * only the controllers cpu, cpuset, pids and perf_event are left. It cannot be undone. v1 needs none of it.
   *
   * @throws {UnsupportedError} CTR_UNSUPPORTED without a cgroup2 directory
   * @throws {SyscallError} EOPNOTSUPP when it has domain controllers such as memory, or processes and controllers together
   * @see {@link https://docs.kernel.org/admin-guide/cgroup-v2.html#threads}
   */
  async makeThreaded(): Promise<void> {
    const { unified } = this.directories;
    if (unified === undefined)
      throw new UnsupportedError('a threaded cgroup', 'a cgroup2 directory', 'cgroup v1, which takes threads anyway');
    await this.#doing('make it threaded', writeControl(`${unified}/cgroup.type`, 'threaded'), {
      EOPNOTSUPP: 'openParent(name, { controllers: ["cpu", "pids"] }) leaves the controllers out that know no threads',
    });
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
    return oomEvents(this.directories, this.#until(options.signal));
  }

  /**
   * Tells what happens in it, until the cgroup is gone or `signal` fires. Nothing is polled. What happened before the first
   * `next()` is not told. v2 tells all; v1 'oom-kill' alone; cgroup2 beside v1 also 'populated' and 'frozen'.
   *
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an unknown kind
   * @throws {UnsupportedError} CTR_UNSUPPORTED, at the first `next()`, for a kind asked for by name that cannot be told here
   * @example
   * ```ts
   * for await (const e of cgroup.events({ kinds: ['oom-kill', 'populated'], signal })) console.log(e)
   * ```
   */
  events(options: EventOptions = {}): AsyncIterable<CgroupEvent> {
    checkKinds(options.kinds);
    return cgroupEvents(this.directories, options, this.#until(options.signal));
  }

  /**
   * Tells each time its processes have lost `stallMs` of a window of `windowMs` by waiting for a resource; a PSI trigger
   * of the kernel's, at most one event in a window. Until the cgroup is gone or `signal` fires.
   *
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a bad trigger
   * @throws {UnsupportedError} CTR_UNSUPPORTED, at the first `next()`, without cgroup2 or a kernel with PSI
   * @throws {SyscallError} EINVAL when this user may have no window that is not a multiple of 2 s
   * @see {@link https://docs.kernel.org/accounting/psi.html#monitoring-for-pressure-thresholds}
   * @example
   * ```ts
   * for await (const { pressure } of cgroup.pressure({ resource: 'memory', stallMs: 150, windowMs: 2000 }))
   *   console.warn(pressure?.some?.avg10Percent)
   * ```
   */
  pressure(trigger: PressureTrigger): AsyncIterable<PressureEvent> {
    checkTrigger(trigger);
    return pressureEvents(this.directories, trigger, this.#until(trigger.signal));
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

  #exists(): boolean {
    const first = this.#all[0];
    return first === undefined || existsSync(`${first}/cgroup.procs`);
  }

  #refuseGone(doing: string): void {
    const path = this.#all[0];
    if (!this.#exists()) throw new SyscallError({ errno: errnoNumber('ENOENT'), syscall: 'open', path, doing });
  }

  /** Fires when the caller's signal does, or when the cgroup is removed by this object. */
  #until(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#removed.signal : AbortSignal.any([this.#removed.signal, signal]);
  }

  async #doing(what: string, work: Promise<void>, hints: Readonly<Record<string, string>> = {}): Promise<void> {
    try {
      await work;
    } catch (error) {
      throw syscallErrorFrom(error, `${what} in the cgroup ${this.#all[0]}`, { hint: hints[codeOf(error) ?? ''] });
    }
  }
}

const MOVE_HINTS: Readonly<Record<string, string>> = {
  EBUSY: 'v2: a cgroup that gives controllers to its children holds no processes itself; move it into a child',
  EOPNOTSUPP: 'v2: a threaded cgroup takes threads (addThread), others take processes (add)',
  EACCES: 'this user must own cgroup.procs of the nearest cgroup above both, where the process is and where it shall be',
};

/** Makes and limits; what it made is in `made`, also when it throws. */
async function make(layout: Layout, name: string, made: string[], program: DeviceProgram | undefined): Promise<void> {
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
  const { unified } = layout.directories;
  if (program !== undefined && unified !== undefined) program.attach(unified);
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
  const program = layout.deviceRules && new DeviceProgram(layout.deviceRules);
  const made: string[] = [];
  try {
    await make(layout, name, made, program);
  } catch (error) {
    await undo(made, error as Error & { cleanup?: Error[] });
    throw error;
  } finally {
    program?.[Symbol.dispose]();
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
