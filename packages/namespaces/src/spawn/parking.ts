// Processes that are ready inside of a container, but for their program: made here, told it in parked-process.ts.
import { UnsupportedError } from '@ctr/internal/errors';
import { Launcher } from '../launcher/launcher.js';
import type { HintSource } from '../launcher/start-error.js';
import { callNative, closeFds } from '../native.js';
import type { NamespaceKind } from '../plan/clone-flags.js';
import { type EncodedPlan, encodePlan, setMessageId } from '../plan/encode-plan.js';
import type { Plan, StepGroup } from '../plan/plan.js';
import type { PlanSource } from '../plan/plan-source.js';
import type { ContainerProcess } from '../process.js';
import { alwaysAllows } from '../seccomp/always-allows.js';
import { listenerOf } from '../seccomp/load.js';
import { PARK_SLOT, PARKED_CALLS } from '../steps/park.js';
import { keptFds, labelOf } from './attribute-steps.js';
import { defaultHints } from './hints.js';
import { missing } from './legacy/missing.js';
import type { EnterOptions } from './options.js';
import { ParkedProcess } from './parked-process.js';
import { type ParkedProgram, ParkedPrograms } from './parked-program.js';

const PARK = 'to park a process';

/** @throws UnsupportedError for what is made anew at each start, or is to be looked at then. */
function checkParkable(o: EnterOptions): void {
  const filter = o.seccomp instanceof Uint8Array ? o.seccomp : o.seccomp?.program;
  if (o.tty) throw new UnsupportedError(PARK, 'a start without a terminal');
  if (listenerOf(o.seccomp) !== undefined) throw new UnsupportedError(PARK, 'a filter without a listener');
  if (labelOf(o) !== undefined) throw new UnsupportedError(PARK, 'a start without a security label');
  if (keptFds(o).length > 0) throw new UnsupportedError(PARK, 'a start without further descriptors');
  if (missing.openat2 || missing.mounts) throw new UnsupportedError(PARK, 'a host that hides no newer system calls');
  if (filter !== undefined && !alwaysAllows(filter, PARKED_CALLS))
    throw new UnsupportedError(PARK, `a filter that allows ${PARKED_CALLS.join(', ')}, whatever their arguments`);
}

/** The plan of one parked process: with the program, once it has one, since errors are told from it. */
export class ParkedSource implements PlanSource {
  readonly #plan: Plan;
  readonly #encoded: EncodedPlan;
  readonly #fds: Readonly<Record<string, number>>;
  #program: Pick<ParkedProgram, 'doing' | 'steps'> | undefined;

  constructor(plan: Plan, encoded: EncodedPlan, fds: Readonly<Record<string, number>>) {
    this.#plan = plan;
    this.#encoded = encoded;
    this.#fds = fds;
  }

  get doing(): string {
    return this.#program?.doing ?? this.#plan.doing;
  }

  get plan(): Plan {
    const { stages } = this.#plan;
    const steps: readonly StepGroup[] = this.#program?.steps ?? [];
    return { ...this.#plan, doing: this.doing, stages: { ...stages, setup: [...stages.setup, ...steps] } };
  }

  /** From now on it is the start of this program. */
  begin(program: Pick<ParkedProgram, 'doing' | 'steps'>): void {
    this.#program = program;
  }

  encode(id: number): EncodedPlan {
    const message = Uint8Array.prototype.slice.call(this.#encoded.message);
    setMessageId(message, id);
    return { ...this.#encoded, message, fds: Object.keys(this.#plan.fds).map((slot) => this.#fds[slot] as number) };
  }

  collectedPath(step: number): string {
    return String(this.#plan.stages.collect.flat()[step]?.args[0]);
  }
}

/** Of one enter template: its plan, encoded once, and the programs that parked processes are told. */
export class Parking {
  readonly #target: ContainerProcess;
  readonly #plan: Plan;
  readonly #encoded: EncodedPlan;
  readonly #namespaces: readonly NamespaceKind[];
  readonly #hints: HintSource;
  readonly #programs: ParkedPrograms;

  /** @throws UnsupportedError */
  constructor(target: ContainerProcess, options: EnterOptions, plan: Plan, namespaces: readonly NamespaceKind[]) {
    checkParkable(options);
    this.#target = target;
    this.#plan = plan;
    this.#encoded = encodePlan(plan, 0, 'launch');
    this.#namespaces = namespaces;
    this.#hints = options.hints ?? defaultHints;
    this.#programs = new ParkedPrograms(options);
  }

  async park(): Promise<ParkedProcess> {
    const launcher = Launcher.current;
    const [socket, theirs] = callNative('make the socket of a parked process', (b) => b.socketPair());
    let source: ParkedSource;
    let target: number;
    try {
      target = callNative(`open process ${this.#target.pid}`, (b) => b.dup(this.#target.pidfd.fd));
      source = new ParkedSource(this.#plan, this.#encoded, { target, [PARK_SLOT]: theirs });
    } catch (error) {
      closeFds([socket, theirs]);
      throw error;
    }
    try {
      const launch = await launcher.park(source, this.#hints, [theirs, target]);
      return new ParkedProcess({ launch, launcher, source, socket, programs: this.#programs, namespaces: this.#namespaces });
    } catch (error) {
      closeFds([socket]);
      throw error;
    }
  }
}
