// Prints a filter as text: one line per instruction, with the names of what it reads, compares and answers.
import { AUDIT_ARCH, AUDIT_ARCH_COMPAT, auditArchName, type SyscallConvention, syscallNameOf, X32_SYSCALL_BIT } from '../syscalls/index.js';
import { readReturnValue } from './actions.js';
import * as bpf from './bpf.js';

const SYMBOLS: Readonly<Record<number, string>> = {
  [bpf.JMP_JEQ_K]: '==',
  [bpf.JMP_JGT_K]: '>',
  [bpf.JMP_JGE_K]: '>=',
  [bpf.JMP_JSET_K]: '&',
};

const ARCH_NAMES: ReadonlyMap<number, string> = new Map([
  [AUDIT_ARCH.x64, 'x86_64'],
  [AUDIT_ARCH.arm64, 'aarch64'],
  [AUDIT_ARCH_COMPAT.x64, 'i386'],
  [AUDIT_ARCH_COMPAT.arm64, 'arm'],
]);

const hex = (n: number): string => `0x${n.toString(16)}`;

function wordName(offset: number): string {
  if (offset === bpf.OFFSET_NR) return 'nr';
  if (offset === bpf.OFFSET_ARCH) return 'arch';
  const half = offset % 8 === 0 ? 'low' : 'high';
  if (offset < bpf.OFFSET_ARGS) return `ip.${half}`;
  return `args[${(offset - bpf.OFFSET_ARGS) >> 3}].${half}`;
}

function answer(value: number): string {
  const { action, data } = readReturnValue(value);
  return data === 0 ? action.slice('SCMP_ACT_'.length) : `${action.slice('SCMP_ACT_'.length)}(${data})`;
}

/** What is known at an instruction: the word in the accumulator, and the arch once it was compared. */
interface Known {
  word?: string | undefined;
  arch?: number | undefined;
}

/** As far as one pass from the top can tell, since jumps only go forward. */
function knownAt(program: readonly bpf.Instruction[]): Known[] {
  const known: Known[] = [{}];
  const flow = (to: number, next: Known) => {
    known[to] ??= next;
  };
  for (const [i, { code, jt, jf, k }] of program.entries()) {
    if (code === bpf.RET_K) continue;
    const here = known[i] ?? {};
    const next = code === bpf.LD_W_ABS ? { ...here, word: wordName(k) } : here;
    if (code === bpf.JMP_JA) flow(i + 1 + k, next);
    else if (SYMBOLS[code] === undefined) flow(i + 1, next);
    else {
      flow(i + 1 + jt, next.word === 'arch' && code === bpf.JMP_JEQ_K ? { ...next, arch: k } : next);
      flow(i + 1 + jf, next);
    }
  }
  return known;
}

function constant({ word, arch }: Known, code: number, k: number): string {
  if (word === 'arch') return ARCH_NAMES.get(k) ?? hex(k);
  if (word !== 'nr') return hex(k);
  const convention: SyscallConvention | undefined = arch === undefined ? undefined : auditArchName(arch, k);
  const name = code === bpf.JMP_JSET_K || convention === undefined ? undefined : syscallNameOf(k, convention);
  const number = convention === 'x32' && name !== undefined ? `x32+${k - X32_SYSCALL_BIT}` : String(k);
  return name === undefined ? number : `${number} (${name})`;
}

/**
 * A filter as text, for reading and for snapshots: each instruction on its line, jumps by the line that they lead to.
 * Names of system calls are those of the architecture that was compared before.
 * @example
 * describeSeccomp(filter)
 * // 0: load arch
 * // 1: if == x86_64 go 2 else 57
 * // 2: load nr
 * // …
 */
export function describeSeccomp(bytes: Uint8Array): string {
  const program = bpf.decodeProgram(bytes);
  const known = knownAt(program);
  const line = ({ code, jt, jf, k }: bpf.Instruction, i: number): string => {
    if (code === bpf.LD_W_ABS) return `load ${wordName(k)}`;
    if (code === bpf.ALU_AND_K) return `and ${hex(k)}`;
    if (code === bpf.JMP_JA) return `go ${i + 1 + k}`;
    if (code === bpf.RET_K) return answer(k);
    const symbol = SYMBOLS[code];
    if (symbol === undefined) return `unknown ${hex(code)} ${jt} ${jf} ${hex(k)}`;
    return `if ${symbol} ${constant(known[i] ?? {}, code, k)} go ${i + 1 + jt} else ${i + 1 + jf}`;
  };
  return program.map((instruction, i) => `${i}: ${line(instruction, i)}`).join('\n');
}
