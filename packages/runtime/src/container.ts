// A running container: its first process, further ones, its limits and its end.
import { type CgroupDirectories, type CgroupStats, openCgroup } from '@ctr/cgroups';
import type { Image } from '@ctr/image';
import { InvalidArgumentError, UnsupportedError } from '@ctr/internal/errors';
import type { Change } from '@ctr/overlayfs';
import { type ChangedLayer, type ContainerCommitOptions, changesOf, commitContainer, type Origin } from './changes.js';
import { type ExecTarget, type KnownExec, startExec } from './exec.js';
import { ExecSlots } from './exec-slots.js';
import { Run } from './lazy-run.js';
import type { OciSpec } from './oci/types.js';
import { type ExecRequest, isKnown, knowRequest, readExecOptions } from './options/read-options.js';
import type { ExecOptions } from './options/run-options.js';
import type { RunSpec } from './options/run-schema.js';
import { parseDuration, parseSignal, type SignalName } from './options/units.js';
import type { ExitStatus } from './result.js';
import { type RunningFacts, RunningProcess } from './running-process.js';
import { Recent } from './start-kind.js';

/** What {@link Container.inspect} tells. */
export interface ContainerInfo {
  readonly id: string;
  readonly name: string;
  readonly status: 'running' | 'stopped';
  readonly pid: number;
  /** The image's reference, or the folder. */
  readonly root: string;
  readonly command: readonly string[];
  readonly startedAt: Date;
  readonly labels: Readonly<Record<string, string>>;
  /** The container's cgroup directory for each controller; empty where it has none. */
  readonly cgroups: CgroupDirectories;
  /** How it ended; `undefined` while it runs. */
  readonly exit: ExitStatus | undefined;
}

export interface ContainerFacts extends RunningFacts {
  readonly id: string;
  readonly root: string;
  readonly oci: OciSpec;
  readonly runSpec: RunSpec;
  readonly stopSignal: SignalName;
  /** Of a container from an image. */
  readonly origin: Origin | undefined;
  /** @throws UnsupportedError where its writable layer cannot be looked at. */
  changed(): ChangedLayer;
}

/** Options of {@link Container.stop}. */
export interface StopOptions {
  /** Default: `stopSignal` of the container. */
  signal?: SignalName | undefined;
  /** How long to wait before SIGKILL. Default: `stopTimeout` of the container, else 10 s. */
  timeout?: number | string | undefined;
}

const DEFAULT_STOP_TIMEOUT_MS = 10_000;

/** A further program in a running container, as exec() starts it. */
export type ExecProcess = RunningProcess;

/** The lazy promise of exec(). */
export type ExecRun = Run<RunningProcess>;

/**
 * A running container. It ends with its first process, with this Node process, or by disposal, which kills it; nothing
 * of it remains on the host then.
 *
 * @example
 * ```ts
 * await using box = await runContainer({ image: 'debian:12', command: ['sleep', 'infinity'] })
 * const { stdout } = await box.exec(['uname', '-n']).result()
 * ```
 */
export class Container extends RunningProcess {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** The given name, else the first 12 digits of the id. */
  readonly name: string;
  readonly #facts: ContainerFacts;
  readonly #target: ExecTarget;
  /** Programs that were run and may be run again with the same options. */
  readonly #known = new Recent<KnownExec>(4);

  /** @internal */
  constructor(facts: ContainerFacts) {
    super(facts);
    this.#facts = facts;
    this.id = facts.id;
    this.name = facts.runSpec.name ?? facts.id.slice(0, 12);
    const { execSlots = 0 } = facts.runSpec;
    this.#target = { ...facts, name: this.name, ...(execSlots > 0 ? { slots: new ExecSlots(facts.process, execSlots) } : {}) };
  }

  /** The OCI runtime-spec object that it was made from. */
  get spec(): Readonly<OciSpec> {
    return this.#facts.oci;
  }

  /** OCI's words. */
  get status(): 'running' | 'stopped' {
    return this.exitStatus === undefined ? 'running' : 'stopped';
  }

  /**
   * Asks the first process to end, and kills it when it does not in time.
   *
   * @remarks A first process without a handler for the signal ignores it, as in Docker: then this takes `timeout`.
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT
   */
  async stop(options: StopOptions = {}): Promise<ExitStatus> {
    const { signal = this.#facts.stopSignal, timeout = this.#facts.runSpec.stopTimeout ?? DEFAULT_STOP_TIMEOUT_MS } = options;
    const name = parseSignal(signal);
    const patience = parseDuration(timeout);
    if (name === undefined) throw new InvalidArgumentError('signal', 'a signal such as "SIGTERM"', signal);
    if (patience === undefined) throw new InvalidArgumentError('timeout', 'milliseconds or a duration like "30s"', timeout);
    this.end({ reason: 'stopped', signal: name }, patience);
    return this.exited;
  }

  /**
   * Starts a further program inside. Like runContainer() it returns a lazy promise with shortcuts.
   *
   * It has the container's rights, limits and filter, its environment and working directory, and its own streams.
   * It ends with the container.
   *
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT; {@link StartError} CTR_START_FAILED. Both reject the promise.
   * @example
   * ```ts
   * const { exitCode, stdout } = await box.exec(['sh', '-c', 'echo hi; exit 3']).result()
   * ```
   */
  exec(command: readonly string[], options: ExecOptions = {}): ExecRun {
    let request: ExecRequest;
    let known: KnownExec | undefined;
    try {
      known = this.#known.find((k) => isKnown(k.known, command, options));
      request = known?.known.request ?? readExecOptions(command, options);
      known ??= this.#remember(request, options);
    } catch (error) {
      return new Run({}, () => Promise.reject(error));
    }
    return new Run(request.spec, () => startExec(this.#target, request, known));
  }

  #remember(request: ExecRequest, options: ExecOptions): KnownExec | undefined {
    const known = knowRequest(request, options);
    return known && this.#known.add({ known });
  }

  /**
   * What the container uses at this moment.
   *
   * @throws {UnsupportedError} CTR_UNSUPPORTED where it has no control group of its own.
   */
  async stats(): Promise<CgroupStats> {
    const { directories } = this.#facts;
    if (Object.keys(directories).length > 0) return openCgroup(directories).stats();
    throw new UnsupportedError('stats()', 'a control group, and this user may make none', undefined, {
      hint: 'run as root, or in a delegated cgroup: systemd-run --user --scope -p Delegate=yes node …',
    });
  }

  /**
   * What it has changed of its root so far, as `docker diff` tells it: each change once, a directory before what it holds.
   *
   * @remarks For a container with `writable: 'disk'`, while it runs. What changes meanwhile may be seen or not. Owners are those inside.
   * @throws {UnsupportedError} CTR_UNSUPPORTED for a layer in memory, one on a loop device, and where the layer has other users than this one;
   * {@link AbortError} ABORT_ERR.
   * @example
   * ```ts
   * for await (const { kind, path } of box.diff()) console.log(kind, path) // added /root/notes …
   * ```
   */
  diff(options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<Change> {
    return changesOf(this.#facts, options.signal);
  }

  /**
   * Makes an image of it, as `docker commit` does: that it was made from, with a layer of what was changed. The image is in the same store, and has
   * the same config unless `config` says otherwise. Mounts, and what is in them, are not part of it.
   *
   * @param reference - The new image's name, such as 'localhost/mine:1'.
   * @remarks For a container from an image with `writable: 'disk'`, while it runs: its layer ends with it.
   * @throws what {@link diff} and `ImageStore.commit` throw.
   * @example
   * ```ts
   * await using box = await runContainer({ image: 'debian:12', command: ['sleep', 'infinity'], writable: 'disk', network: 'host' })
   * await box.exec(['apt-get', 'install', '-y', 'curl']).result()
   * await box.commit('localhost/with-curl:1', { config: { Cmd: ['curl', '--version'] } })
   * ```
   */
  async commit(reference: string, options: ContainerCommitOptions = {}): Promise<Image> {
    return commitContainer(this.#facts, reference, options);
  }

  /** What there is to know about it, as plain data. */
  inspect(): ContainerInfo {
    const { id, root, directories, runSpec } = this.#facts;
    return {
      id,
      name: this.name,
      status: this.status,
      pid: this.pid,
      root,
      command: this.command,
      startedAt: this.startedAt,
      labels: Object.fromEntries(runSpec.labels ?? []),
      cgroups: directories,
      exit: this.exitStatus,
    };
  }
}
