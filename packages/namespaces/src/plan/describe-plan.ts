// A plan as text, one call a line as strace would print it: for dry runs, logs, messages and snapshots.
import type { Arg, Step } from '@ctr/internal/steps';
import { type Plan, STEP_STAGES, type StepStage } from './plan.js';

const MAX_TEXT = 120;
const quote = (s: string): string => JSON.stringify(s.length > MAX_TEXT ? `${s.slice(0, MAX_TEXT)}…` : s);

function describeArg(arg: Arg): string {
  if (arg === null) return 'NULL';
  if (typeof arg === 'number') return arg === -100 ? 'AT_FDCWD' : String(arg);
  if (typeof arg === 'bigint') return `0x${arg.toString(16)}`;
  if (typeof arg === 'string') return quote(arg);
  if ('slot' in arg) return arg.slot;
  if ('value' in arg) return arg.text;
  if ('bytes' in arg) return arg.text ?? `{${arg.bytes.length} bytes}`;
  return arg.text ?? `[${arg.strings.map(quote).join(', ')}]`;
}

/** One step as strace would print it: `root = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV)`. */
export function describeStep(step: Step): string {
  const call = `${step.call}(${step.args.map(describeArg).join(', ')})`;
  return step.into === undefined ? call : `${step.into} = ${call}`;
}

const WHERE: Readonly<Record<StepStage, string>> = {
  prepare: 'prepare (monitor, on the host)',
  beside: 'beside (monitor, while the new process makes its namespaces)',
  enter: 'enter (a process in between)',
  setup: 'setup (the new process)',
  kill: 'kill (monitor)',
  collect: 'collect (monitor, after the death)',
  cleanup: 'cleanup (monitor, at last)',
};

function note(step: Step): string {
  const parts: string[] = [];
  if (step.allow?.length) parts.push(`${step.allow.join(', ')} is no failure${step.skipOnAllowed ? `, skips ${step.skipOnAllowed}` : ''}`);
  if (step.skipOnSuccess) parts.push(`success skips ${step.skipOnSuccess}`);
  return parts.length > 0 ? `  # ${parts.join('; ')}` : '';
}

function describeClone(plan: Plan): string[] {
  if (plan.stages.setup.length === 0) return [];
  const flags = [...plan.cloneFlags, ...(plan.cgroup ? ['CLONE_INTO_CGROUP'] : [])].join('|');
  const maps = plan.idMaps;
  return [
    `clone3(${flags || '0'})${plan.cgroup ? ` into ${plan.cgroup}` : ''}`,
    ...(maps ? [`maps: uid ${maps.uid.trim()}, gid ${maps.gid.trim()}${maps.denySetgroups ? ', setgroups deny' : ''}`] : []),
  ];
}

/**
 * Writes a plan out, stage by stage.
 *
 * @example
 * ```ts
 * console.log(describePlan(describeSpawn({ args: ['true'], namespaces: { pid: 'new' } })))
 * ```
 */
export function describePlan(plan: Plan): string {
  const lines = [plan.doing];
  const first = plan.stages.enter.length > 0 ? 'setup' : 'beside';
  for (const stage of STEP_STAGES) {
    if (stage === first) lines.push(...describeClone(plan));
    const steps = plan.stages[stage].flat();
    if (steps.length === 0) continue;
    lines.push(WHERE[stage]);
    for (const s of steps) lines.push(`  ${describeStep(s)}${note(s)}`);
  }
  if (plan.spare)
    lines.push('spare (a process beside the monitor, when it has nothing to do)', ...plan.spare.steps.map((s) => `  ${describeStep(s)}`));
  return lines.join('\n');
}
