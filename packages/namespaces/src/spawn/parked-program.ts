// What a parked process is told: streams, working directory, program.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { encodeParkedProgram } from '../plan/encode-plan.js';
import type { StepGroup } from '../plan/plan.js';
import { checkProgramOptions } from './check-options.js';
import type { EnterOptions } from './options.js';
import { execute, parkedSteps, stdioFds } from './program-steps.js';
import type { StartOptions } from './spawn-template.js';

/** A program as a message, which is complete. */
export interface ParkedProgram {
  readonly doing: string;
  readonly steps: readonly StepGroup[];
  readonly message: Uint8Array;
  /** As MonitorHandle.launch() takes them: -1, -2 and -3 are pipes. */
  readonly fds: Int32Array;
}

const isFrozen = (start: StartOptions): boolean =>
  [start, start.args, start.env, start.stdio].every((part) => part === undefined || Object.isFrozen(part));

export class ParkedPrograms {
  readonly #options: EnterOptions;
  /** Of frozen options, which say the same for ever. */
  readonly #known = new WeakMap<StartOptions, ParkedProgram>();

  constructor(options: EnterOptions) {
    this.#options = options;
  }

  /** @throws InvalidArgumentError CTR_INVALID_ARGUMENT, also for a program whose arguments and environment do not fit into a datagram. */
  of(start: StartOptions): ParkedProgram {
    const known = this.#known.get(start);
    if (known !== undefined) return known;
    const made = this.#make(start);
    // A descriptor of the caller's may be another one the next time.
    if (isFrozen(start) && made.fds.every((fd) => fd < 0)) this.#known.set(start, made);
    return made;
  }

  #make(start: StartOptions): ParkedProgram {
    const { args, env, doing = this.#options.doing ?? `run ${args[0]}` } = start;
    const stdio = start.stdio ?? this.#options.stdio ?? (['ignore', 'pipe', 'pipe'] as const);
    for (const key of ['fds', 'onListener'] as const)
      if (start[key] !== undefined) throw new InvalidArgumentError(key, 'left out: a parked process has none', start[key]);
    const program = { args, ...(env === undefined ? {} : { env }), stdio };
    checkProgramOptions(program);
    const { slots, borrowed } = stdioFds(program);
    const { argv0 } = this.#options;
    const steps = parkedSteps(this.#options, execute(argv0 === undefined ? program : { ...program, argv0 }), slots);
    const names = slots.filter((slot) => slot !== undefined);
    const message = encodeParkedProgram(steps, names);
    if (message === undefined) throw new InvalidArgumentError('args', 'arguments and environment of less than 96 KiB', args.length);
    const fds = Int32Array.from(slots.flatMap((slot, n) => (slot === undefined ? [] : [borrowed[slot] ?? -1 - n])));
    return { doing, steps, message, fds };
  }
}
