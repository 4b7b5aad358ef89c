// Groups put together to one program, in the layout of native/init/plan.h.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { type EncodedGroup, encodeGroup, PATCH_WORDS, STEP_WORDS } from './encode-group.js';
import { type FrozenSet, frozenSetOf } from './frozen-set.js';
import type { StepGroup } from './plan.js';
import type { SlotTable } from './slots.js';

/** Of native/init/plan.h: struct ProgramHeader, in bytes. */
export const PROGRAM_HEADER_SIZE = 16;
const KIND_POINTER = 1;

/** The stages of the launch program, or those of the after program. */
export type Stages = readonly [readonly StepGroup[], readonly StepGroup[], readonly StepGroup[], readonly StepGroup[]];

/** Steps of each stage. */
export type StageCounts = readonly [number, number, number, number];

/** Where the next thing goes, in words for steps and patches, in bytes of the data section for data. */
export interface Cursor {
  step: number;
  patch: number;
  data: number;
}

export interface Target {
  words: Uint32Array;
  bytes: Uint8Array;
  firstPatch: number;
  dataStart: number;
}

/** Copies a group's patches and data to their place and moves its offsets along; its steps are already there. */
export function relocate(g: EncodedGroup, step: number, t: Target, at: Cursor): void {
  const { words } = t;
  for (const o of g.stepOffsets) words[step + o] = (words[step + o] as number) + at.data;
  const patch = (at.patch - t.firstPatch) / PATCH_WORDS;
  for (let w = step + 18; w < step + g.steps.length; w += STEP_WORDS) words[w] = (words[w] as number) + patch;
  words.set(g.patches, at.patch);
  for (let p = at.patch; p < at.patch + g.patches.length; p += PATCH_WORDS) {
    words[p] = (words[p] as number) + at.data;
    if (words[p + 1] === KIND_POINTER) words[p + 2] = (words[p + 2] as number) + at.data;
  }
  t.bytes.set(g.data, t.dataStart + at.data);
  at.patch += g.patches.length;
  at.data += g.data.length;
}

export function writeProgramHeader(words: Uint32Array, at: number, [a, b, c, d]: StageCounts, patchCount: number, dataSize: number): void {
  words[at] = a | (b << 16);
  words[at + 1] = c | (d << 16);
  words[at + 2] = patchCount;
  words[at + 3] = dataSize;
}

/** The parts of the program that begins here, and its size. */
export function readProgramHeader(bytes: Uint8Array): {
  counts: StageCounts;
  steps: Uint8Array;
  patches: Uint8Array;
  data: Uint8Array;
  size: number;
} {
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const counts = [0, 2, 4, 6].map((at) => v.getUint16(at, true)) as unknown as StageCounts;
  const steps = counts.reduce((sum, n) => sum + n, 0);
  const patchesAt = PROGRAM_HEADER_SIZE + steps * STEP_WORDS * 4;
  const dataAt = patchesAt + v.getUint16(8, true) * PATCH_WORDS * 4;
  const size = dataAt + v.getUint32(12, true);
  return {
    counts,
    steps: bytes.subarray(PROGRAM_HEADER_SIZE, patchesAt),
    patches: bytes.subarray(patchesAt, dataAt),
    data: bytes.subarray(dataAt, size),
    size,
  };
}

interface Sizes {
  stageSteps: number[];
  steps: number;
  patches: number;
  data: number;
}

function measure(stages: Stages, own: ReadonlyMap<StepGroup, EncodedGroup>, frozen: FrozenSet, stringSize: number): Sizes {
  const s: Sizes = { stageSteps: [], steps: 0, patches: frozen.patches.length, data: frozen.data.length + stringSize };
  for (const stage of stages) {
    let n = 0;
    for (const group of stage) n += group.length;
    s.stageSteps.push(n);
    s.steps += n * STEP_WORDS;
  }
  for (const g of own.values()) {
    s.patches += g.patches.length;
    s.data += g.data.length;
  }
  return s;
}

/** A group of this plan alone. The same array may stand in a plan twice, its bytes then too. */
function encodeOwn(stages: Stages, frozen: FrozenSet, slots: SlotTable): Map<StepGroup, EncodedGroup> {
  const own = new Map<StepGroup, EncodedGroup>();
  for (const stage of stages)
    for (const group of stage)
      if (group.length > 0 && !frozen.steps.has(group))
        own.set(
          group,
          encodeGroup(group, (n) => slots.index(n)),
        );
  return own;
}

/**
 * Encodes the stages to one program. `strings` are zero-terminated texts that are put into the data; they begin at
 * `stringsAt`.
 */
export function encodeProgram(stages: Stages, strings: string, slots: SlotTable): { bytes: Uint8Array; stringsAt: number } {
  const frozen = frozenSetOf(stages);
  const own = encodeOwn(stages, frozen, slots);
  const stringSize = Math.ceil(Buffer.byteLength(strings) / 8) * 8;
  const size = measure(stages, own, frozen, stringSize);
  const patchCount = size.patches / PATCH_WORDS;
  if (patchCount > 0xffff || size.stageSteps.some((n) => n > 0xffff))
    throw new InvalidArgumentError('plan', 'at most 65535 steps, arguments and variables', Math.max(patchCount, ...size.stageSteps));

  // Eight zero bytes at the end: no string can run past the data (decodeProgram in native/init/decode.cc).
  const dataStart = PROGRAM_HEADER_SIZE + (size.steps + size.patches) * 4;
  const words = new Uint32Array((dataStart + size.data + 8) / 4);
  const bytes = new Uint8Array(words.buffer);
  writeProgramHeader(words, 0, size.stageSteps as unknown as StageCounts, patchCount, size.data + 8);
  const t: Target = { words, bytes, firstPatch: PROGRAM_HEADER_SIZE / 4 + size.steps, dataStart };
  words.set(frozen.patches, t.firstPatch);
  bytes.set(frozen.data, dataStart);
  const at: Cursor = { step: PROGRAM_HEADER_SIZE / 4, patch: t.firstPatch + frozen.patches.length, data: frozen.data.length };
  const stringsAt = at.data;
  Buffer.from(words.buffer).write(strings, dataStart + stringsAt);
  at.data += stringSize;
  for (const stage of stages)
    for (const group of stage) {
      const g = own.get(group);
      words.set(g?.steps ?? frozen.steps.get(group) ?? [], at.step);
      if (g) relocate(g, at.step, t, at);
      at.step += group.length * STEP_WORDS;
    }
  return { bytes, stringsAt };
}
