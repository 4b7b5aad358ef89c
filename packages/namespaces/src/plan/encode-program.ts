// One program: steps, patches and the data that they point into.
import { InvalidArgumentError } from '@ctr/internal/errors';
import type { Arg, Bytes, Slot, Step, StringList } from '@ctr/internal/steps';
import { syscallNumber } from '../syscalls/index.js';

export const PROGRAM_HEADER_SIZE = 16;
const STEP_SIZE = 80;
const PATCH_SIZE = 16;
const MAX_SLOTS = 128;
const KIND = { value: 0, pointer: 1, slot: 2 } as const;
/** Operations that the launcher has beside the kernel's calls; see native/init/steps.cc. */
const COMPOSITE: Readonly<Record<string, number>> = { report_file: 1, remove_tree: 2, assert_monitor: 3, close_fds: 4 };

/** Slot names to indices; the first ones are the descriptors that travel with the message. */
export class SlotTable {
  readonly #index = new Map<string, number>();

  constructor(first: readonly string[]) {
    for (const name of first) this.index(name);
  }

  index(name: string): number {
    let i = this.#index.get(name);
    if (i !== undefined) return i;
    i = this.#index.size;
    if (i >= MAX_SLOTS) throw new InvalidArgumentError('plan', `at most ${MAX_SLOTS} file descriptors`, i + 1);
    this.#index.set(name, i);
    return i;
  }
}

/** A buffer that doubles: most plans need one allocation. */
class Growing {
  bytes: Buffer;
  length = 0;
  constructor(size: number) {
    this.bytes = Buffer.alloc(size);
  }
  reserve(n: number): number {
    const at = this.length;
    if (at + n > this.bytes.length) {
      const larger = Buffer.alloc(Math.max(this.bytes.length * 2, at + n));
      this.bytes.copy(larger, 0, 0, at);
      this.bytes = larger;
    }
    this.length = at + n;
    return at;
  }
}

type Patch = { at: number; kind: number; value: number };

export class ProgramEncoder {
  readonly #slots: SlotTable;
  readonly #steps = new Growing(64 * STEP_SIZE);
  readonly #data = new Growing(4096);
  readonly #strings = new Map<string, number>();
  readonly #patches: Patch[] = [];

  constructor(slots: SlotTable) {
    this.#slots = slots;
  }

  /** The offset of a C string in the data; equal strings are stored once. */
  string(text: string): number {
    const known = this.#strings.get(text);
    if (known !== undefined) return known;
    if (text.includes('\0')) throw new InvalidArgumentError('plan', 'text without NUL characters', text);
    const at = this.#data.reserve(Buffer.byteLength(text) + 1);
    this.#data.bytes.write(text, at);
    this.#data.bytes[this.#data.length - 1] = 0;
    this.#strings.set(text, at);
    return at;
  }

  #aligned(size: number): number {
    this.#data.reserve((8 - (this.#data.length % 8)) % 8);
    return this.#data.reserve(size);
  }

  #bytes(b: Bytes): number {
    const at = this.#aligned(Math.max(b.bytes.length, 1));
    this.#data.bytes.set(b.bytes, at);
    for (const p of b.patches ?? []) {
      const [kind, value] = this.#arg(p.value as Arg);
      this.#patches.push({ at: at + p.at, kind, value: Number(value) });
    }
    return at;
  }

  #stringList(list: StringList): number {
    const at = this.#aligned((list.strings.length + 1) * 8);
    list.strings.forEach((s, i) => {
      this.#patches.push({ at: at + i * 8, kind: KIND.pointer, value: this.string(s) });
    });
    return at;
  }

  #arg(arg: Arg): readonly [kind: number, value: bigint | number] {
    if (arg === null) return [KIND.value, 0];
    if (typeof arg === 'number' || typeof arg === 'bigint') return [KIND.value, arg];
    if (typeof arg === 'string') return [KIND.pointer, this.string(arg)];
    if ('slot' in arg) return [KIND.slot, this.#slots.index((arg as Slot).slot)];
    if ('value' in arg) return [KIND.value, arg.value];
    if ('bytes' in arg) return [KIND.pointer, this.#bytes(arg)];
    return [KIND.pointer, this.#stringList(arg)];
  }

  step(step: Step, allow: readonly number[]): void {
    const firstPatch = this.#patches.length;
    const args = step.args.map((a) => this.#arg(a));
    const at = this.#steps.reserve(STEP_SIZE);
    const b = this.#steps.bytes;
    const composite = COMPOSITE[step.call];
    b.writeUInt16LE(composite ?? 0, at);
    b.writeInt16LE(step.into === undefined ? -1 : this.#slots.index(step.into), at + 2);
    b.writeUInt32LE(composite === undefined ? syscallNumber(step.call) : 0, at + 4);
    if (allow.length > 4 || args.length > 6) throw new TypeError(`step ${step.call} has too many arguments or errnos`);
    args.forEach(([kind, value], i) => {
      b[at + 8 + i] = kind;
      b.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at + 24 + i * 8);
    });
    b[at + 14] = step.skipOnAllowed ?? 0;
    b[at + 15] = step.skipOnSuccess ?? 0;
    allow.forEach((e, i) => {
      b.writeUInt16LE(e, at + 16 + i * 2);
    });
    b.writeUInt16LE(firstPatch, at + 72);
    b.writeUInt16LE(this.#patches.length - firstPatch, at + 74);
  }

  finish(stageSteps: readonly number[]): Buffer {
    if (this.#patches.length > 0xffff)
      throw new InvalidArgumentError('plan', 'at most 65535 arguments and variables in all', this.#patches.length);
    // A zero at the end, and a multiple of eight in all: see decodeProgram in native/init/decode.cc.
    this.#data.reserve(8 - (this.#data.length % 8));
    const patchesSize = this.#patches.length * PATCH_SIZE;
    const out = Buffer.alloc(PROGRAM_HEADER_SIZE + this.#steps.length + patchesSize + this.#data.length);
    stageSteps.forEach((n, i) => {
      out.writeUInt16LE(n, i * 2);
    });
    out.writeUInt16LE(this.#patches.length, 6);
    out.writeUInt32LE(this.#data.length, 8);
    out.set(this.#steps.bytes.subarray(0, this.#steps.length), PROGRAM_HEADER_SIZE);
    let at = PROGRAM_HEADER_SIZE + this.#steps.length;
    for (const p of this.#patches) {
      out.writeUInt32LE(p.at, at);
      out.writeUInt16LE(p.kind, at + 4);
      out.writeBigUInt64LE(BigInt(p.value), at + 8);
      at += PATCH_SIZE;
    }
    out.set(this.#data.bytes.subarray(0, this.#data.length), at);
    return out;
  }
}
