// A plan encoded once for many starts that differ in their name, their program and the descriptors that go along.
//
//   template = header | steps | patches | data        | after program        the name's places in data and after are known
//   message  = header | steps, exec | patches, exec's | data, exec's | after  copied, moved along by the program's steps
import { type EncodedGroup, encodeGroup } from './encode-group.js';
import { type EncodedPlan, encodePlan, MAX_DATAGRAM, MESSAGE_HEADER_SIZE, setMessageId, setProgramSizes } from './encode-plan.js';
import { type Cursor, PROGRAM_HEADER_SIZE, readProgramHeader, relocate, type StageCounts, writeProgramHeader } from './encode-program.js';
import type { Plan, StepGroup } from './plan.js';
import type { PlanSource } from './plan-source.js';
import { findName, renameData, renameText, writeName } from './rename.js';

/** Eight zero bytes at the end of the data: no string can run past it. */
const TAIL = 8;

interface Parts {
  readonly header: Uint8Array;
  /** Of the launch program. */
  readonly counts: StageCounts;
  readonly steps: Uint8Array;
  readonly patches: Uint8Array;
  readonly data: Uint8Array;
  readonly after: Uint8Array;
  /** Places of the name, see findName(). */
  readonly dataNames: readonly number[];
  readonly afterNames: readonly number[];
}

/** The steps of the program, encoded alone. */
interface EncodedProgram {
  readonly group: StepGroup;
  readonly encoded: EncodedGroup;
  readonly names: readonly number[];
}

/** One start of a template. */
export interface TemplateStart {
  readonly doing: string;
  /** As long as the placeholder, in ASCII. */
  readonly name: string;
  /** The last steps of the setup stage, which end in execve. An array that was given before is not encoded again. */
  readonly program: StepGroup;
  /** By slot: the same slots as the template's. */
  readonly fds: Readonly<Record<string, number>>;
}

const encoder = new TextEncoder();

/** The numbers of slots are the template's; the program's steps only run it. */
const noSlots = (name: string): never => {
  throw new TypeError(`the program of a template uses the slot ${name}`);
};

export class PlanTemplate {
  readonly #plan: Plan;
  readonly #placeholder: string;
  #parts: Parts | undefined;
  #program: EncodedProgram | undefined;

  /** `plan` is complete but for its program, and has the placeholder wherever the name shall stand. */
  constructor(plan: Plan, placeholder: string) {
    this.#plan = plan;
    this.#placeholder = placeholder;
  }

  start(start: TemplateStart): PlanSource {
    const template = this;
    let plan: Plan | undefined;
    return {
      doing: start.doing,
      get plan() {
        plan ??= template.#planOf(start);
        return plan;
      },
      encode: (id, kind) => template.#encode(start, id) ?? encodePlan(template.#planOf(start), id, kind),
      collectedPath: (step) => renameText(template.#collected(step), template.#placeholder, start.name),
    };
  }

  #collected(step: number): string {
    return String(this.#plan.stages.collect.flat()[step]?.args[0]);
  }

  #planOf({ doing, name, program, fds }: TemplateStart): Plan {
    const stages = { ...this.#plan.stages, setup: [...this.#plan.stages.setup, program] };
    return { ...this.#plan, doing, fds, stages: renameData(stages, this.#placeholder, name) };
  }

  #split(): Parts {
    const { message, large } = encodePlan(this.#plan, 0, 'launch');
    const header = message.subarray(0, MESSAGE_HEADER_SIZE);
    const programs = large ?? message.subarray(MESSAGE_HEADER_SIZE);
    const { counts, steps, patches, data, size } = readProgramHeader(programs);
    const after = programs.subarray(size);
    const dataNames = findName(data, this.#placeholder);
    return { header, counts, steps, patches, data, after, dataNames, afterNames: findName(after, this.#placeholder) };
  }

  #encodeProgram(group: StepGroup): EncodedProgram {
    if (this.#program?.group !== group) {
      const encoded = encodeGroup(group, noSlots);
      this.#program = { group, encoded, names: findName(encoded.data, this.#placeholder) };
    }
    return this.#program;
  }

  /** Undefined when it is too large for a datagram. */
  #encode({ name, program, fds }: TemplateStart, id: number): EncodedPlan | undefined {
    this.#parts ??= this.#split();
    const { header, counts, steps, patches, data, after, dataNames, afterNames } = this.#parts;
    const own = this.#encodeProgram(program);
    const { encoded } = own;
    const patchesAt = PROGRAM_HEADER_SIZE + steps.length + encoded.steps.byteLength;
    const dataAt = patchesAt + patches.length + encoded.patches.byteLength;
    const launchSize = dataAt + data.length + encoded.data.length + TAIL;
    const size = MESSAGE_HEADER_SIZE + launchSize + after.length;
    if (size > MAX_DATAGRAM) return undefined;

    const words = new Uint32Array(size / 4);
    const message = new Uint8Array(words.buffer);
    message.set(header);
    setMessageId(message, id);
    setProgramSizes(message, launchSize, after.length);
    const p = MESSAGE_HEADER_SIZE;
    const patchCount = (patches.length + encoded.patches.byteLength) / 16;
    const [prepare, beside, enter, setup] = counts;
    writeProgramHeader(words, p / 4, [prepare, beside, enter, setup + program.length], patchCount, launchSize - dataAt);
    const at = p + PROGRAM_HEADER_SIZE;
    message.set(steps, at);
    words.set(encoded.steps, (at + steps.length) / 4);
    message.set(patches, p + patchesAt);
    message.set(data, p + dataAt);
    message.set(after, p + launchSize);
    const cursor: Cursor = { step: 0, patch: (p + patchesAt + patches.length) / 4, data: data.length };
    relocate(encoded, (at + steps.length) / 4, { words, bytes: message, firstPatch: (p + patchesAt) / 4, dataStart: p + dataAt }, cursor);

    const bytes = encoder.encode(name);
    writeName(message, dataNames, p + dataAt, bytes);
    writeName(message, own.names, p + dataAt + data.length, bytes);
    writeName(message, afterNames, p + launchSize, bytes);
    return { message, fds: Object.keys(this.#plan.fds).map((slot) => fds[slot] as number) };
  }
}
