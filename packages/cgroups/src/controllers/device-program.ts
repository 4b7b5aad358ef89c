// Device rules as an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE, which is v2's devices controller.
// See cgroup-v2.rst, "Device controller", and struct bpf_cgroup_dev_ctx in linux/bpf.h.
import { endianness } from 'node:os';
import type { FullDeviceRule } from './device-rules.js';

/** Registers: r0 is the answer; r1 the context. */
const R0 = 0;
const CONTEXT = 1;
const WANTED = 2;
const TYPE = 3;
const MAJOR = 4;
const MINOR = 5;
const SCRATCH = 6;

/** Opcodes of the classes BPF_LDX, BPF_ALU and BPF_JMP32; all but the last two on 32 bits, as the context's fields are. */
const LOAD_WORD = 0x61;
const AND = 0x54;
const SHIFT_RIGHT = 0x74;
const MOVE = 0xbc;
const MOVE_NUMBER = 0xb4;
const IF_NOT = 0x56;
const IF = 0x16;
const EXIT = 0x95;

/** BPF_DEVCG_DEV_*, and BPF_DEVCG_ACC_* shifted down. */
const TYPES = { b: 1, c: 2 } as const;
const BITS: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };
const ALL_BITS = 7;

interface Instruction {
  readonly code: number;
  readonly to: number;
  readonly from?: number;
  readonly offset?: number;
  readonly value?: number;
}

const mask = (access: string): number => [...access].reduce((bits, x) => bits | (BITS[x] ?? 0), 0);

const answer = (allow: boolean): Instruction[] => [
  { code: MOVE_NUMBER, to: R0, value: allow ? 1 : 0 },
  { code: EXIT, to: 0 },
];

/** What to do with a device that the rule is about. The jump leads behind the block. */
function verdict(r: FullDeviceRule): Instruction[] {
  const bits = mask(r.access);
  if (bits === ALL_BITS) return answer(r.allow);
  if (r.allow)
    return [{ code: AND, to: WANTED, value: ~bits & ALL_BITS }, { code: IF_NOT, to: WANTED, value: 0, offset: 2 }, ...answer(true)];
  return [
    { code: MOVE, to: SCRATCH, from: WANTED },
    { code: AND, to: SCRATCH, value: bits },
    { code: IF, to: SCRATCH, value: 0, offset: 2 },
    ...answer(false),
  ];
}

/** The tests whether the rule is about this device, and what follows. */
function block(r: FullDeviceRule): Instruction[] {
  const tests: Instruction[] = [];
  if (r.type !== 'a') tests.push({ code: IF_NOT, to: TYPE, value: TYPES[r.type] });
  if (r.major !== null) tests.push({ code: IF_NOT, to: MAJOR, value: r.major });
  if (r.minor !== null) tests.push({ code: IF_NOT, to: MINOR, value: r.minor });
  const rest = verdict(r);
  return [...tests.map((t, i) => ({ ...t, offset: tests.length - 1 - i + rest.length })), ...rest];
}

/** Nothing behind such a rule is reached, and the verifier refuses what cannot be reached. */
const isFinal = (r: FullDeviceRule): boolean => r.type === 'a' && r.major === null && r.minor === null && mask(r.access) === ALL_BITS;

/**
 * The last rule that speaks about an access decides, so the program looks at the rules from the last to the first: one
 * that allows crosses off what it allows, one that denies anything still wanted ends with no, and when nothing is left
 * to be wanted the answer is yes.
 */
function instructions(rules: readonly FullDeviceRule[]): Instruction[] {
  const out: Instruction[] = [
    { code: LOAD_WORD, to: WANTED, from: CONTEXT, offset: 0 },
    { code: MOVE, to: TYPE, from: WANTED },
    { code: AND, to: TYPE, value: 0xffff },
    { code: SHIFT_RIGHT, to: WANTED, value: 16 },
    { code: LOAD_WORD, to: MAJOR, from: CONTEXT, offset: 4 },
    { code: LOAD_WORD, to: MINOR, from: CONTEXT, offset: 8 },
  ];
  for (const rule of [...rules].reverse()) {
    out.push(...block(rule));
    if (isFinal(rule)) return out;
  }
  return [...out, ...answer(false)];
}

/** struct bpf_insn: code, two registers in a byte, a jump's length, a number. */
function encode(all: readonly Instruction[]): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(all.length * 8));
  const little = endianness() === 'LE';
  for (const [i, { code, to, from = 0, offset = 0, value = 0 }] of all.entries()) {
    bytes.setUint8(i * 8, code);
    bytes.setUint8(i * 8 + 1, little ? (from << 4) | to : (to << 4) | from);
    bytes.setInt16(i * 8 + 2, offset, little);
    bytes.setInt32(i * 8 + 4, value, little);
  }
  return new Uint8Array(bytes.buffer);
}

/** Assembles the program; pure. */
export const compileDevices = (rules: readonly FullDeviceRule[]): Uint8Array => encode(instructions(rules));
