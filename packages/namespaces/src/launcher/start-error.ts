// From {stage, step, errno} to the whole sentence: the plan still knows what every step was for.
import { branded, CtrError, errnoName, errnoText, SyscallError } from '@ctr/internal/errors';
import type { Step } from '@ctr/internal/steps';
import { describeStep } from '../plan/describe-plan.js';
import { type Plan, type StageName, type StepStage, stepAt } from '../plan/plan.js';
import type { PlanSource } from '../plan/plan-source.js';
import { STAGE_NAMES, type StepFailure } from './events.js';

/** What failed, for a table of hints. */
export interface FailureFacts {
  readonly stage: StageName | 'decode';
  readonly step: Step | undefined;
  readonly stepIndex: number;
  readonly syscall: string;
  /** The errno's name, such as 'EPERM'. */
  readonly code: string;
  readonly path: string | undefined;
  readonly plan: Plan;
}

/** Gives one sentence of advice for a failure, or undefined. */
export type HintSource = (facts: FailureFacts) => string | undefined;

/**
 * A process could not be started: `stage` and `step` say where, `cause` is the SyscallError. Nothing half-made remains.
 * Code CTR_START_FAILED.
 */
export class StartError extends CtrError {
  readonly stage: StageName | 'decode';
  /** The step that failed; undefined when it was the clone, the id maps or the decoding. */
  readonly step: Step | undefined;
  readonly stepIndex: number;
  /** Negative, as in Node's system errors. */
  readonly errno: number;
  readonly syscall: string;
  declare readonly path?: string;

  constructor(
    facts: FailureFacts,
    errno: number,
    message: string,
    options: { cause: SyscallError; hint?: string | undefined; detail?: string | undefined },
  ) {
    super('CTR_START_FAILED', message, options);
    this.stage = facts.stage;
    this.step = facts.step;
    this.stepIndex = facts.stepIndex;
    this.errno = -Math.abs(errno);
    this.syscall = facts.syscall;
    if (facts.path !== undefined) this.path = facts.path;
  }
}
branded(StartError, 'StartError');

/** Of the stages that can fail without a step of theirs; setup: killed on the way to its program. */
const SYSCALL: Readonly<Record<string, string>> = { clone: 'clone3', maps: 'write', enter: 'setns', setup: 'execve' };
const MAP_FILES = ['setgroups', 'gid_map', 'uid_map'];

function pathOf(step: Step | undefined): string | undefined {
  if (step?.path !== undefined) return step.path;
  const text = step?.args.filter((a) => typeof a === 'string' && a !== '') as string[] | undefined;
  return text?.find((t) => t.startsWith('/')) ?? text?.[0];
}

export function stepFacts(plan: Plan, stage: StageName | 'decode', index: number, errno: number): FailureFacts {
  const step = stage === 'decode' || stage === 'clone' || stage === 'maps' ? undefined : stepAt(plan.stages[stage as StepStage], index);
  const syscall = step?.call ?? SYSCALL[stage] ?? 'recvmsg';
  const path = stage === 'maps' ? `/proc/<pid>/${MAP_FILES[index]}` : pathOf(step);
  return { stage, step, stepIndex: index, syscall, code: errnoName(errno), path, plan };
}

/** What the step was for, in words: its own, or the call's name. */
function doingOf(f: FailureFacts): string | undefined {
  if (f.stage === 'clone') return 'make the process and its namespaces';
  if (f.stage === 'maps') return 'map the ids of the user namespace';
  if (f.stage === 'decode') return 'hand the plan to the monitor';
  if (f.stage === 'setup' && f.step === undefined) return 'the process was killed before its program ran';
  return f.step?.doing;
}

/** The call as strace prints it. */
function detailOf({ stage, step, plan, stepIndex }: FailureFacts): string | undefined {
  if (step) return describeStep(step);
  if (stage === 'clone') return `clone3(${plan.cloneFlags.join('|') || '0'})`;
  const file = MAP_FILES[stepIndex];
  const text = { setgroups: 'deny', gid_map: plan.idMaps?.gid, uid_map: plan.idMaps?.uid }[file ?? ''];
  return stage === 'maps' ? `write("/proc/<pid>/${file}", ${JSON.stringify(text)})` : undefined;
}

export function startError(plan: Plan, stageIndex: number, failure: StepFailure, hints: HintSource): StartError {
  const stage = STAGE_NAMES[stageIndex] ?? 'decode';
  const facts = stepFacts(plan, stage, failure.step, failure.errno);
  const doing = doingOf(facts);
  const cause = new SyscallError({ errno: failure.errno, syscall: facts.syscall, path: facts.path, doing });
  const head = `${plan.doing}: ${doing ? `${doing}: ` : ''}${facts.syscall}: ${facts.code} (${errnoText(facts.code)})`;
  return new StartError(facts, failure.errno, head, { cause, detail: detailOf(facts), hint: hints(facts) });
}

/** Failed clean-up steps as errors. */
export function cleanupErrors(source: Pick<PlanSource, 'plan'>, failures: readonly StepFailure[]): Error[] {
  return failures.map((f) => {
    const facts = stepFacts(source.plan, 'cleanup', f.step, f.errno);
    return new SyscallError({ errno: f.errno, syscall: facts.syscall, path: facts.path, doing: facts.step?.doing ?? 'clean up' });
  });
}
