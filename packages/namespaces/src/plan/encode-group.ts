// A group of steps -> words and bytes with relative offsets. A frozen group is encoded once and then only copied:
// most of a container's plan is the same every time, and the event loop has better things to do.
import { errnoNumber, InvalidArgumentError } from '@ctr/internal/errors';
import type { Arg, Bytes, Step, StringList } from '@ctr/internal/steps';
import { syscallNumber } from '../syscalls/index.js';

/** Of native/init/plan.h: struct WireStep and WirePatch in 32-bit words. */
export const STEP_WORDS = 20;
export const PATCH_WORDS = 4;
const KIND_POINTER = 1;
const KIND_SLOT = 2;
/** Operations that the launcher has beside the kernel's calls; see native/init/steps.cc. */
const COMPOSITE: Readonly<Record<string, number>> = {
  report_file: 1,
  remove_tree: 2,
  assert_monitor: 3,
  close_fds: 4,
  finish: 5,
  listen_seccomp: 6,
  move_report: 7,
  make_target: 8,
  copy_tree: 9,
  await_monitor: 10,
  await_program: 11,
};

/** An encoded group: everything that points into `data` is listed, so that it can be moved. */
export interface EncodedGroup {
  steps: Uint32Array;
  patches: Uint32Array;
  data: Uint8Array;
  /** Words of `steps` that hold an offset into `data`. */
  stepOffsets: Uint32Array;
}

type SlotIndex = (name: string) => number;

// Scratch memory of the one group that is being encoded; nothing in here awaits.
let words = new Uint32Array(64 * STEP_WORDS);
let data = Buffer.alloc(16 * 1024);
let dataLength = 0;

function grow(size: number): void {
  if (dataLength + size <= data.length) return;
  const larger = Buffer.alloc(Math.max(data.length * 2, dataLength + size));
  data.copy(larger, 0, 0, dataLength);
  data = larger;
}

/** Zeroed bytes at a multiple of eight. */
function reserve(size: number): number {
  const at = (dataLength + 7) & ~7;
  grow(size + 7);
  data.fill(0, dataLength, at + size);
  dataLength = at + size;
  return at;
}

/** A C string, anywhere. Most are short and ASCII: a loop beats three calls into the runtime. */
function appendString(text: string): number {
  const at = dataLength;
  grow(text.length * 3 + 1);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0) throw new InvalidArgumentError('plan', 'text without NUL characters', text);
    if (code > 127) return appendUnicode(text, at);
    data[at + i] = code;
  }
  data[at + text.length] = 0;
  dataLength = at + text.length + 1;
  return at;
}

function appendUnicode(text: string, at: number): number {
  if (text.includes('\0')) throw new InvalidArgumentError('plan', 'text without NUL characters', text);
  const size = data.write(text, at);
  data[at + size] = 0;
  dataLength = at + size + 1;
  return at;
}

class GroupEncoder {
  readonly #slot: SlotIndex;
  readonly #patches: number[] = [];
  readonly #offsets: number[] = [];
  /** Lists that are written: the same argv and envp stand in an execve for each folder of PATH. */
  #lists: Map<StringList, { at: number; firstPatch: number }> | undefined;
  /** The first patch that the present step needs. */
  #firstPatch = 0;
  /** Set by #arg: low and high word of the value. */
  #low = 0;
  #high = 0;

  constructor(slot: SlotIndex) {
    this.#slot = slot;
    dataLength = 0;
  }

  #bytes(b: Bytes): number {
    const at = reserve(Math.max(b.bytes.length, 1));
    data.set(b.bytes, at);
    for (const p of b.patches ?? []) {
      const kind = this.#arg(p.value as Arg);
      this.#patches.push(at + p.at, kind, this.#low);
    }
    return at;
  }

  #stringList(list: StringList): number {
    const known = this.#lists?.get(list);
    if (known !== undefined) {
      this.#firstPatch = Math.min(this.#firstPatch, known.firstPatch);
      return known.at;
    }
    const firstPatch = this.#patches.length / 3;
    const at = reserve((list.strings.length + 1) * 8);
    for (let i = 0; i < list.strings.length; i++) this.#patches.push(at + i * 8, KIND_POINTER, appendString(list.strings[i] as string));
    this.#lists ??= new Map();
    this.#lists.set(list, { at, firstPatch });
    return at;
  }

  /** The kind; the value is in #low and #high. */
  #arg(arg: Arg): number {
    this.#high = 0;
    if (typeof arg === 'string') {
      this.#low = appendString(arg);
      return KIND_POINTER;
    }
    if (typeof arg === 'number' || typeof arg === 'bigint' || arg === null) return this.#value(arg ?? 0);
    if ('slot' in arg) {
      this.#low = this.#slot(arg.slot);
      return KIND_SLOT;
    }
    if ('value' in arg) return this.#value(arg.value);
    this.#low = 'bytes' in arg ? this.#bytes(arg) : this.#stringList(arg);
    return KIND_POINTER;
  }

  #value(n: number | bigint): number {
    if (typeof n === 'number') {
      this.#low = n >>> 0;
      this.#high = n < 0 ? 0xffffffff : Math.floor(n / 0x100000000);
    } else {
      this.#low = Number(BigInt.asUintN(32, n));
      this.#high = Number(BigInt.asUintN(32, n >> 32n));
    }
    return 0;
  }

  step(step: Step, at: number): void {
    const { args, allow } = step;
    if (args.length > 6 || (allow !== undefined && allow.length > 4))
      throw new TypeError(`step ${step.call} has too many arguments or errnos`);
    const composite = COMPOSITE[step.call];
    this.#firstPatch = this.#patches.length / 3;
    let kinds0 = 0;
    let kinds1 = 0;
    for (let i = 0; i < args.length; i++) {
      const kind = this.#arg(args[i] as Arg);
      if (i < 4) kinds0 |= kind << (i * 8);
      else kinds1 |= kind << ((i - 4) * 8);
      words[at + 6 + i * 2] = this.#low;
      words[at + 7 + i * 2] = this.#high;
      if (kind === KIND_POINTER) this.#offsets.push(at + 6 + i * 2);
    }
    const into = step.into === undefined ? 0xffff : this.#slot(step.into);
    words[at] = (composite ?? 0) | (into << 16);
    words[at + 1] = composite === undefined ? syscallNumber(step.call) : 0;
    words[at + 2] = kinds0;
    words[at + 3] = kinds1 | ((step.skipOnAllowed ?? 0) << 16) | ((step.skipOnSuccess ?? 0) << 24);
    if (allow !== undefined) {
      words[at + 4] = errno(allow[0]) | (errno(allow[1]) << 16);
      words[at + 5] = errno(allow[2]) | (errno(allow[3]) << 16);
    }
    // Relative to the group; the program adds its own first. With a list of an earlier step all patches from there on
    // are made once more: that step may have been left out, and to make the others twice does no harm.
    words[at + 18] = this.#firstPatch | ((this.#patches.length / 3 - this.#firstPatch) << 16);
  }

  finish(stepWords: number): EncodedGroup {
    const patches = new Uint32Array((this.#patches.length / 3) * PATCH_WORDS);
    for (let i = 0, p = 0; i < this.#patches.length; i += 3, p += PATCH_WORDS) {
      patches[p] = this.#patches[i] as number;
      patches[p + 1] = this.#patches[i + 1] as number;
      patches[p + 2] = this.#patches[i + 2] as number;
    }
    reserve(0);
    return {
      steps: words.slice(0, stepWords),
      patches,
      data: Uint8Array.prototype.slice.call(data, 0, dataLength),
      stepOffsets: Uint32Array.from(this.#offsets),
    };
  }
}

const errno = (name: string | undefined): number => (name === undefined ? 0 : errnoNumber(name));

/** Encodes one group; offsets are relative to its own data, patch numbers to its own first patch. */
export function encodeGroup(steps: readonly Step[], slot: SlotIndex): EncodedGroup {
  const size = steps.length * STEP_WORDS;
  if (words.length < size) words = new Uint32Array(size * 2);
  words.fill(0, 0, size);
  const encoder = new GroupEncoder(slot);
  for (let i = 0; i < steps.length; i++) encoder.step(steps[i] as Step, i * STEP_WORDS);
  return encoder.finish(size);
}
