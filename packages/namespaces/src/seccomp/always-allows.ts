// Whether a filter lets a system call through, whatever its arguments.
import { AUDIT_ARCH, syscallArch, syscallNumber } from '../syscalls/index.js';
import { SECCOMP_RET } from './actions.js';
import * as bpf from './bpf.js';
import { seccompProgramFault } from './simulate.js';

/** A word that the program has in hand: a number, or anything. */
type Word = number | undefined;

const holds = (code: number, a: number, k: number): boolean =>
  code === bpf.JMP_JEQ_K ? a === k : code === bpf.JMP_JGT_K ? a > k : code === bpf.JMP_JGE_K ? a >= k : (a & k) !== 0;

/** Where a program that is here may come to next, with the word that it has then. */
function next({ code, jt, jf, k }: bpf.Instruction, at: number, a: Word, known: ReadonlyMap<number, number>): [number, Word][] {
  if (code === bpf.LD_W_ABS) return [[at + 1, known.get(k)]];
  if (code === bpf.ALU_AND_K) return [[at + 1, a === undefined ? undefined : (a & k) >>> 0]];
  if (code === bpf.JMP_JA) return [[at + 1 + k, a]];
  if (a !== undefined) return [[at + 1 + (holds(code, a, k) ? jt : jf), a]];
  // Which way a test of an argument goes is not known: both.
  return [
    [at + 1 + jt, a],
    [at + 1 + jf, a],
  ];
}

/**
 * True when the program answers each of these calls, made by this process's own convention, with SCMP_ACT_ALLOW, whatever the arguments are.
 * False too where that cannot be told.
 */
export function alwaysAllows(bytes: Uint8Array, calls: readonly string[]): boolean {
  if (seccompProgramFault(bytes) !== undefined) return false;
  const program = bpf.decodeProgram(bytes);
  return calls.every((call) => {
    const known = new Map([
      [bpf.OFFSET_NR, syscallNumber(call)],
      [bpf.OFFSET_ARCH, AUDIT_ARCH[syscallArch()]],
    ]);
    const seen = new Set<string>();
    const open: [number, Word][] = [[0, 0]];
    for (let place = open.pop(); place !== undefined; place = open.pop()) {
      const [at, a] = place;
      if (seen.has(`${at} ${a}`)) continue;
      seen.add(`${at} ${a}`);
      const instruction = program[at] as bpf.Instruction;
      if (instruction.code !== bpf.RET_K) open.push(...next(instruction, at, a, known));
      else if (instruction.k !== SECCOMP_RET.SCMP_ACT_ALLOW) return false;
    }
    return true;
  });
}
