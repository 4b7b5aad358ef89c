// Runs a filter without a kernel: for tests, and for tools that show what a profile does.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { AUDIT_ARCH, AUDIT_ARCH_COMPAT, syscallArch } from '../syscalls/index.js';
import { readReturnValue, type SeccompVerdict } from './actions.js';
import * as bpf from './bpf.js';

/** A system call as a filter sees it. */
export interface SimulatedCall {
  /** The number; -1 is 0xffffffff. */
  nr: number;
  /** Up to six arguments, the rest are 0; negative numbers are taken in two's complement of 64 bits. */
  args?: readonly (number | bigint)[] | undefined;
  /** 'x64', 'arm64', the 32-bit 'x86' and 'arm', or an AUDIT_ARCH_* value; `undefined` means this process's architecture. */
  arch?: 'x64' | 'arm64' | 'x86' | 'arm' | number | undefined;
  /** `undefined` means 0. */
  instructionPointer?: bigint | undefined;
}

/** What a filter answers, and what it took. */
export interface SimulatedVerdict extends SeccompVerdict {
  /** The raw value that the program returned. */
  value: number;
  /** How many instructions ran. */
  steps: number;
}

function auditArch(arch: SimulatedCall['arch']): number {
  if (typeof arch === 'number') return arch;
  if (arch === 'x86') return AUDIT_ARCH_COMPAT.x64;
  if (arch === 'arm') return AUDIT_ARCH_COMPAT.arm64;
  return AUDIT_ARCH[syscallArch(arch)];
}

/** `struct seccomp_data` as bytes. */
function seccompData(call: SimulatedCall): DataView {
  const data = new DataView(new ArrayBuffer(bpf.SECCOMP_DATA_SIZE));
  data.setUint32(bpf.OFFSET_NR, call.nr >>> 0, true);
  data.setUint32(bpf.OFFSET_ARCH, auditArch(call.arch), true);
  data.setBigUint64(bpf.OFFSET_IP, BigInt.asUintN(64, call.instructionPointer ?? 0n), true);
  for (const [i, arg] of (call.args ?? []).slice(0, 6).entries()) {
    data.setBigUint64(bpf.OFFSET_ARGS + 8 * i, BigInt.asUintN(64, BigInt(arg)), true);
  }
  return data;
}

function isTrue(code: number, a: number, k: number): boolean {
  if (code === bpf.JMP_JEQ_K) return a === k;
  if (code === bpf.JMP_JGT_K) return a > k;
  if (code === bpf.JMP_JGE_K) return a >= k;
  return (a & k) !== 0;
}

const JUMPS: readonly number[] = [bpf.JMP_JEQ_K, bpf.JMP_JGT_K, bpf.JMP_JGE_K, bpf.JMP_JSET_K];

/** Why the kernel would refuse a program (`seccomp(2)`: EINVAL); `undefined` when it would take it. */
export function seccompProgramFault(bytes: Uint8Array): string | undefined {
  const count = bytes.byteLength / 8;
  if (count === 0 || count > bpf.MAX_INSTRUCTIONS || !Number.isInteger(count))
    return `${bytes.byteLength} bytes are not 1 to 4096 instructions`;
  const program = bpf.decodeProgram(bytes);
  for (const [i, { code, jt, jf, k }] of program.entries()) {
    const furthest = JUMPS.includes(code) ? Math.max(jt, jf) : code === bpf.JMP_JA ? k : undefined;
    if (furthest !== undefined && i + 1 + furthest >= count) return `instruction ${i} jumps out of the program`;
    if (code === bpf.LD_W_ABS && (k % 4 !== 0 || k >= bpf.SECCOMP_DATA_SIZE)) return `instruction ${i} loads from offset ${k}`;
    const known = furthest !== undefined || [bpf.LD_W_ABS, bpf.ALU_AND_K, bpf.RET_K].includes(code);
    if (!known) return `instruction ${i} has the unknown code 0x${code.toString(16)}`;
  }
  return program[count - 1]?.code === bpf.RET_K ? undefined : 'the last instruction does not return';
}

/**
 * A filter to ask many times: checked and decoded once, from the bytes as they are now.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a program that the kernel would refuse or that uses instructions which
 * neither `compileSeccomp` nor libseccomp generate.
 */
export function seccompSimulator(bytes: Uint8Array): (call: SimulatedCall) => SimulatedVerdict {
  const fault = seccompProgramFault(bytes);
  if (fault !== undefined) throw new InvalidArgumentError('bytes', `a seccomp filter (${fault})`, bytes);
  const program = bpf.decodeProgram(bytes);
  return (call) => run(program, seccompData(call));
}

function run(program: readonly bpf.Instruction[], data: DataView): SimulatedVerdict {
  let accumulator = 0;
  let at = 0;
  for (let steps = 1; ; steps++) {
    const { code, jt, jf, k } = program[at++] as bpf.Instruction;
    if (code === bpf.RET_K) return { ...readReturnValue(k), value: k, steps };
    if (code === bpf.LD_W_ABS) accumulator = data.getUint32(k, true);
    else if (code === bpf.ALU_AND_K) accumulator = (accumulator & k) >>> 0;
    else if (code === bpf.JMP_JA) at += k;
    else at += isTrue(code, accumulator, k) ? jt : jf;
  }
}

/**
 * What a filter answers to a system call.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT as `seccompSimulator` does.
 * @example simulateSeccomp(filter, { nr: syscallNumber('clone'), args: [0x10000000] }).action // 'SCMP_ACT_ERRNO'
 */
export function simulateSeccomp(bytes: Uint8Array, call: SimulatedCall): SimulatedVerdict {
  return seccompSimulator(bytes)(call);
}
