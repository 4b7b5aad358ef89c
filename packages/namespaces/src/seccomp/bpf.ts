// The classic BPF instructions that the kernel takes in a seccomp filter, as numbers and as bytes.
// Source: include/uapi/linux/bpf_common.h, filter.h; the permitted subset is in kernel/seccomp.c, seccomp_check_filter().

/** One `struct sock_filter`: opcode, jump distances when true and false, and the constant. */
export interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** A = 32-bit word k of seccomp_data. */
export const LD_W_ABS = 0x20;
/** A = A & k. */
export const ALU_AND_K = 0x54;
/** Continue k instructions further. */
export const JMP_JA = 0x05;
export const JMP_JEQ_K = 0x15;
export const JMP_JGT_K = 0x25;
export const JMP_JGE_K = 0x35;
/** True when A & k is not 0. */
export const JMP_JSET_K = 0x45;
/** The filter's answer is k. */
export const RET_K = 0x06;

/** BPF_MAXINSNS: the kernel refuses longer programs. */
export const MAX_INSTRUCTIONS = 4096;
const INSTRUCTION_SIZE = 8;

/** Offsets in `struct seccomp_data`. Both our architectures are little-endian, so the low word of an argument comes first. */
export const OFFSET_NR = 0;
export const OFFSET_ARCH = 4;
export const OFFSET_IP = 8;
export const OFFSET_ARGS = 16;
export const SECCOMP_DATA_SIZE = 64;
export const offsetLow = (argument: number): number => OFFSET_ARGS + 8 * argument;
export const offsetHigh = (argument: number): number => offsetLow(argument) + 4;

/** The bytes of a program: the array that `struct sock_fprog` points to. */
export function encodeProgram(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * INSTRUCTION_SIZE);
  const view = new DataView(bytes.buffer);
  for (const [i, { code, jt, jf, k }] of program.entries()) {
    const at = i * INSTRUCTION_SIZE;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, jt);
    view.setUint8(at + 3, jf);
    view.setUint32(at + 4, k, true);
  }
  return bytes;
}

/** The instructions in the bytes of a program. The length must be a multiple of 8. */
export function decodeProgram(bytes: Uint8Array): Instruction[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength / INSTRUCTION_SIZE }, (_, i) => {
    const at = i * INSTRUCTION_SIZE;
    return { code: view.getUint16(at, true), jt: view.getUint8(at + 2), jf: view.getUint8(at + 3), k: view.getUint32(at + 4, true) };
  });
}
