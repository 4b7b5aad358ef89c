// What a seccomp profile means, said as plainly as possible and without any code of src/seccomp: the tests compare the compiled
// programs with this. Slow and literal on purpose.
import { syscallTable } from '../src/syscalls/index.js';

interface Arg {
  index: number;
  value: number | bigint;
  valueTwo?: number | bigint | undefined;
  op: string;
}
interface Rule {
  names: string[];
  action: string;
  errnoRet?: number | undefined;
  args?: Arg[] | undefined;
}
interface Profile {
  defaultAction: string;
  defaultErrnoRet?: number | undefined;
  syscalls?: Rule[] | undefined;
}
export interface NaiveCall {
  /** Unsigned. */
  nr: number;
  args: readonly bigint[];
  /** True for a call by another calling convention than the filter's. */
  foreign?: boolean;
}

function ret(action: string, errno = 1): number {
  switch (action) {
    case 'SCMP_ACT_KILL_PROCESS':
      return 2147483648;
    case 'SCMP_ACT_TRAP':
      return 196608;
    case 'SCMP_ACT_ERRNO':
      return 327680 + errno;
    case 'SCMP_ACT_NOTIFY':
      return 2143289344;
    case 'SCMP_ACT_TRACE':
      return 2146435072 + errno;
    case 'SCMP_ACT_LOG':
      return 2147221504;
    case 'SCMP_ACT_ALLOW':
      return 2147418112;
    default:
      return 0;
  }
}

function holds(arg: Arg, args: readonly bigint[]): boolean {
  const actual = args[arg.index] ?? 0n;
  const value = BigInt(arg.value);
  const compare: Record<string, () => boolean> = {
    SCMP_CMP_NE: () => actual !== value,
    SCMP_CMP_LT: () => actual < value,
    SCMP_CMP_LE: () => actual <= value,
    SCMP_CMP_EQ: () => actual === value,
    SCMP_CMP_GE: () => actual >= value,
    SCMP_CMP_GT: () => actual > value,
    SCMP_CMP_MASKED_EQ: () => (actual & value) === (BigInt(arg.valueTwo ?? 0) & value),
  };
  return compare[arg.op]?.() ?? false;
}

const bits = (n: bigint): number => n.toString(2).replaceAll('0', '').length;
const isEmptyMask = (arg: Arg): boolean => arg.op === 'SCMP_CMP_MASKED_EQ' && BigInt(arg.value) === 0n;

/** How many bits of the arguments the conditions fix. */
function precision(args: readonly Arg[]): number {
  let sum = 0;
  for (const arg of args) {
    if (arg.op === 'SCMP_CMP_EQ') sum += 64;
    if (arg.op === 'SCMP_CMP_MASKED_EQ') sum += bits(BigInt(arg.value));
  }
  return sum;
}

function alternatives(rule: Rule): Arg[][] {
  const args = rule.args ?? [];
  const sameTwice = args.some((a, i) => args.findIndex((b) => b.index === a.index) !== i);
  return sameTwice ? args.map((arg) => [arg]) : [args];
}

/** The 32-bit answers of a filter made from the profile. */
export function naiveSeccomp(profile: Profile, arch: 'x64' | 'arm64'): (call: NaiveCall) => number {
  const table = syscallTable(arch);
  const rules = (profile.syscalls ?? []).map((rule) => ({ ...rule, numbers: new Set(rule.names.map((name) => table.get(name))) }));
  const newest = Math.max(-1, ...rules.flatMap((rule) => [...rule.numbers]).filter((nr) => nr !== undefined));
  const fallback = ret(profile.defaultAction, profile.defaultErrnoRet);
  const passes = ['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE'].includes(profile.defaultAction);

  return ({ nr, args, foreign }) => {
    if (foreign) return ret('SCMP_ACT_KILL_PROCESS');
    if (passes && nr === 0xffffffff) return fallback;
    if (arch === 'x64' && nr >= 0x40000000) return ret('SCMP_ACT_ERRNO', 38);
    if (!passes && newest >= 0 && nr > newest) return ret('SCMP_ACT_ERRNO', 38);
    let answer = fallback;
    let best = [-1, -1];
    for (const rule of rules) {
      const value = ret(rule.action, rule.errnoRet);
      if (value === fallback || !rule.numbers.has(nr)) continue;
      for (const conditions of alternatives(rule)) {
        const real = conditions.filter((arg) => !isEmptyMask(arg));
        if (!real.every((arg) => holds(arg, args))) continue;
        const rank = real.length === 0 ? [Number.POSITIVE_INFINITY, 0] : [precision(real), real.length];
        if (isAbove(rank, best)) [answer, best] = [value, rank];
      }
    }
    return answer;
  };
}

const isAbove = ([a = 0, b = 0]: number[], [c = 0, d = 0]: number[]): boolean => a > c || (a === c && b > d);

/** Numbers that repeat from run to run: a test that fails must fail again. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
