// enterTemplate(): for programs that run many further programs in one running process's namespaces.
import { assertLinux } from '@ctr/internal/errors';
import { callNative } from '../native.js';
import type { ContainerProcess } from '../process.js';
import { checkEnterOptions } from './check-options.js';
import { describeEnter, describeParked, endedError } from './enter.js';
import { downgrade } from './legacy/downgrade.js';
import { learnFrom } from './legacy/missing.js';
import type { EnterOptions } from './options.js';
import type { ParkedProcess } from './parked-process.js';
import { Parking } from './parking.js';
import { type StartOptions, StartTemplate } from './spawn-template.js';

let keys = 0;
/** Of what the monitor keeps; 0 is none. */
const nextKey = (): number => {
  keys = (keys + 1) >>> 0 || 1;
  return keys;
};

/** Made by {@link enterTemplate}. */
export class EnterTemplate {
  readonly #target: ContainerProcess;
  readonly #options: EnterOptions;
  readonly #make: () => StartTemplate;
  readonly #makeParking: () => Parking;
  #template: StartTemplate;
  #parking: Parking | undefined;

  /** @internal */
  constructor(target: ContainerProcess, options: EnterOptions) {
    const kinds = options.namespaces ?? target.namespaces;
    this.#target = target;
    this.#options = options;
    const keep = { key: nextKey(), of: target.launchId };
    this.#makeParking = () => new Parking(target, options, describeParked({ pid: target.pid, pidfd: -1, keep }, options, kinds), kinds);
    this.#make = () =>
      new StartTemplate(options, downgrade(describeEnter({ pid: target.pid, pidfd: -1, keep }, options, kinds)), kinds, '');
    this.#template = this.#make();
  }

  /**
   * Starts one: see enter(). The same frozen options as in the last start cost least.
   *
   * @throws what enter() throws.
   */
  async enter(start: StartOptions): Promise<ContainerProcess> {
    const target = this.#target;
    if (target.ended) throw endedError(target, { ...this.#options, ...start });
    // A copy, since the target may end, and its descriptor be closed, before the message is sent.
    const open = () => ({ target: callNative(`open process ${target.pid}`, (b) => b.dup(target.pidfd.fd)) });
    const again = this.#template.again(start, { target: target.pidfd.fd });
    return (again ?? this.#template.start('', start, open)).catch((error) => {
      if (!learnFrom(error)) throw error;
      this.#template = this.#make();
      return this.enter(start);
    });
  }

  /**
   * Makes a process that waits inside for its program, so that a start is told a program and does no more: {@link ParkedProcess.enter}. Namespaces,
   * control groups, ids, capabilities, limits and the filter are those of this moment. The process can be seen inside, as `ctr-parked`, counts
   * among the container's processes, and can be ended there. A working directory other than / is entered at the start, with the rights of the
   * program, and has to be there.
   *
   * @throws UnsupportedError CTR_UNSUPPORTED for a template with a terminal, a listener, a security label, further descriptors, or a filter that
   * refuses one of the few calls that are left to make; StartError CTR_START_FAILED.
   * @example
   * ```ts
   * const template = enterTemplate(box, { args: ['true'] })
   * await using parked = await template.park()
   * const process = await parked.enter({ args: ['id'], env: { PATH: '/bin' } })
   * ```
   */
  async park(): Promise<ParkedProcess> {
    const target = this.#target;
    if (target.ended) throw endedError(target, this.#options);
    this.#parking ??= this.#makeParking();
    return this.#parking.park();
  }
}

/**
 * Checks, compiles and encodes the options of enter() once. Each start then gives its program and its streams.
 *
 * @param options As for enter(); `args`, `env`, `stdio` and `fds` are those of a first example.
 * @throws InvalidArgumentError CTR_INVALID_ARGUMENT; UnsupportedError CTR_UNSUPPORTED on other systems than Linux.
 * @remarks Linux 5.8 (setns with a pidfd).
 * @example
 * ```ts
 * const template = enterTemplate(box, { args: ['true'] })
 * for (const name of ['a', 'b']) await (await template.enter({ args: ['touch', `/tmp/${name}`] })).exited
 * ```
 */
export function enterTemplate(target: ContainerProcess, options: EnterOptions): EnterTemplate {
  checkEnterOptions(options);
  assertLinux('enterTemplate()');
  return new EnterTemplate(target, options);
}
