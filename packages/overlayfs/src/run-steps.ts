// Runs steps in this process, now: the same data that the launcher executes elsewhere, so that both do the same thing.
import { errnoName, errnoNumber, SyscallError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import type { Arg, Bytes, Step } from '@ctr/internal/steps';
import { STEP_CALLS, type StepBinding, type StepCall } from './native.js';

type NativeArg = number | string | Uint8Array | null;

/** A step failed; `step` says which. */
export interface StepFailure {
  readonly step: Step;
  readonly error: SyscallError;
}

/**
 * Runs the steps in order and returns what `result` holds at the end; every other descriptor is closed, also on failure.
 * `explain` may turn a failure into a better error.
 */
export async function runSteps(
  binding: StepBinding,
  steps: readonly Step[],
  result: string,
  explain: (failure: StepFailure) => Error | undefined = () => undefined,
): Promise<Fd> {
  const slots = new Map<string, number>();
  try {
    for (let i = 0; i < steps.length; i++) i += await runStep(binding, steps[i] as Step, slots, explain);
    const fd = slots.get(result);
    if (fd === undefined) throw new TypeError(`no step filled the slot ${result}`);
    slots.delete(result);
    return Fd.of(fd, { close: (n) => binding.close(n) });
  } finally {
    for (const fd of slots.values()) binding.close(fd);
  }
}

/** Returns how many of the following steps to leave out. */
async function runStep(
  binding: StepBinding,
  step: Step,
  slots: Map<string, number>,
  explain: (failure: StepFailure) => Error | undefined,
): Promise<number> {
  const call = callOf(binding, step);
  try {
    const value = await call(...step.args.map((a) => nativeArg(a, slots)));
    if (step.into !== undefined) fill(binding, slots, step.into, value);
    return step.skipOnSuccess ?? 0;
  } catch (e) {
    const error = syscallErrorOf(step, e);
    // By number: EOPNOTSUPP and ENOTSUP are one.
    if (step.allow?.some((name) => errnoNumber(name) === -error.errno)) return step.skipOnAllowed ?? 0;
    throw explain({ step, error }) ?? error;
  }
}

function callOf(binding: StepBinding, step: Step): StepCall {
  const name = STEP_CALLS.find((n) => n === step.call);
  if (name === undefined) throw new TypeError(`this process runs no ${step.call}`);
  return binding[name];
}

function fill(binding: StepBinding, slots: Map<string, number>, name: string, fd: number): void {
  const before = slots.get(name);
  if (before !== undefined) binding.close(before);
  slots.set(name, fd);
}

function nativeArg(arg: Arg, slots: ReadonlyMap<string, number>): NativeArg {
  if (arg === null || typeof arg === 'number' || typeof arg === 'string') return arg;
  if (typeof arg === 'object' && 'value' in arg) return Number(arg.value);
  if (typeof arg === 'object' && 'slot' in arg) {
    const fd = slots.get(arg.slot);
    if (fd === undefined) throw new TypeError(`the slot ${arg.slot} is empty`);
    return fd;
  }
  if (typeof arg === 'object' && 'bytes' in arg) return patched(arg, slots);
  throw new TypeError('an argument of a kind that this package does not make');
}

/** A copy with the descriptors in their places. */
function patched({ bytes, patches = [] }: Bytes, slots: ReadonlyMap<string, number>): Uint8Array {
  const copy = Buffer.from(bytes);
  for (const { at, value } of patches) {
    const fd = typeof value === 'object' && 'slot' in value ? slots.get(value.slot) : undefined;
    if (fd === undefined) throw new TypeError('a patch of a kind that this package does not make');
    copy.writeInt32LE(fd, at);
  }
  return copy;
}

function syscallErrorOf(step: Step, e: unknown): SyscallError {
  const { errno, syscall } = e as { errno?: number; syscall?: string };
  if (typeof errno !== 'number' || typeof syscall !== 'string') throw e;
  const named = step.args.find((a): a is string => typeof a === 'string');
  return new SyscallError(
    { errno, syscall, path: step.path ?? named, doing: step.doing },
    { detail: `${syscall}(${step.args.map(show).join(', ')}): ${errnoName(errno)}` },
  );
}

function show(arg: Arg): string {
  if (arg === null) return 'NULL';
  if (typeof arg === 'string') return JSON.stringify(arg);
  if (typeof arg === 'object' && 'text' in arg && arg.text !== undefined) return arg.text;
  if (typeof arg === 'object' && 'slot' in arg) return `<${arg.slot}>`;
  return String(arg);
}
