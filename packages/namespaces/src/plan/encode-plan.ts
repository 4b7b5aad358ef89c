// Plan -> bytes, the mirror of native/init/plan.h, where the layout is drawn.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { CLONE_FLAGS } from './clone-flags.js';
import { encodeProgram } from './encode-program.js';
import type { Plan, StepGroup } from './plan.js';
import { MAX_FDS, SlotTable } from './slots.js';

const FD_SLOTS_AT = 64;
export const MESSAGE_HEADER_SIZE = FD_SLOTS_AT + 2 * MAX_FDS;
/** Above this the programs travel in a memfd: a datagram must fit into the socket's buffer. */
export const MAX_DATAGRAM = 96 * 1024;
const MAGIC = 0x31727463;
const KINDS = { launch: 1, hold: 2, program: 3 } as const;
const FLAGS = { shareMemory: 1, writeMaps: 2, denySetgroups: 4, fromMemfd: 8, parks: 16 } as const;
const NO_SLOT = -1;

export interface EncodedPlan {
  /** Header and programs, or the header alone when `large` is set. */
  readonly message: Uint8Array;
  /** Where `large` is set, the caller adds the memfd with it at the end. */
  readonly fds: number[];
  /** The programs, when they are too large for a datagram. */
  readonly large?: Uint8Array;
}

const LARGE_PLAN = '(plan)';

/** Header, fd slots and lengths; the layout is struct MessageHeader. */
function writeHeader(message: Buffer, plan: Plan, id: number, kind: keyof typeof KINDS, slots: SlotTable, names: readonly string[]): void {
  if (names.length > MAX_FDS) throw new InvalidArgumentError('plan.fds', `at most ${MAX_FDS} file descriptors`, names.length);
  const large = names.at(-1) === LARGE_PLAN;
  let clone = 0;
  for (const f of plan.cloneFlags) clone |= CLONE_FLAGS[f] ?? 0;
  message.writeUInt32LE(MAGIC, 0);
  message.writeUInt16LE(KINDS[kind], 4);
  message.writeUInt16LE(names.length, 6);
  message.writeUInt32LE(id, 8);
  message.writeUInt32LE(
    (plan.sharesMemory ? FLAGS.shareMemory : 0) |
      (plan.idMaps ? FLAGS.writeMaps : 0) |
      (plan.idMaps?.denySetgroups ? FLAGS.denySetgroups : 0) |
      (large ? FLAGS.fromMemfd : 0) |
      (plan.parks ? FLAGS.parks : 0),
    12,
  );
  message.writeUInt32LE(clone >>> 0, 16);
  message.writeInt32LE(plan.cgroup === undefined ? NO_SLOT : slots.index(plan.cgroup), 24);
  message.writeInt32LE(plan.pidNamespaceOf === undefined ? NO_SLOT : slots.index(plan.pidNamespaceOf), 44);
  message.writeUInt32LE(plan.keep?.key ?? 0, 48);
  message.writeUInt32LE(plan.keep?.of ?? 0, 52);
  message.writeUInt32LE(plan.spare?.key ?? 0, 56);
  names.forEach((name, i) => {
    message.writeUInt16LE(slots.index(name), FD_SLOTS_AT + i * 2);
  });
}

function encodeMessage(plan: Plan, id: number, kind: keyof typeof KINDS): EncodedPlan {
  const slots = new SlotTable();
  const { prepare, beside, enter, setup, kill, collect, cleanup } = plan.stages;
  const maps = plan.idMaps;
  const launch = encodeProgram([prepare, beside, enter, setup], maps ? `${maps.uid}\0${maps.gid}\0` : '', slots);
  const after = encodeProgram([kill, collect, cleanup, plan.spare ? [plan.spare.steps] : []], '', slots);
  const size = launch.bytes.length + after.bytes.length;
  const large = MESSAGE_HEADER_SIZE + size > MAX_DATAGRAM;

  const message = Buffer.alloc(large ? MESSAGE_HEADER_SIZE : MESSAGE_HEADER_SIZE + size);
  const names = Object.keys(plan.fds);
  writeHeader(message, plan, id, kind, slots, large ? [...names, LARGE_PLAN] : names);
  setProgramSizes(message, launch.bytes.length, after.bytes.length);
  message.writeUInt32LE(launch.stringsAt, 36);
  message.writeUInt32LE(launch.stringsAt + (maps ? Buffer.byteLength(maps.uid) + 1 : 0), 40);
  const fds = names.map((n) => plan.fds[n] as number);
  if (large) return { message, fds, large: Buffer.concat([launch.bytes, after.bytes]) };
  message.set(launch.bytes, MESSAGE_HEADER_SIZE);
  message.set(after.bytes, MESSAGE_HEADER_SIZE + launch.bytes.length);
  return { message, fds };
}

/**
 * What a parked process is sent (native/init/park.h): steps that it runs as its last, and the slots of the descriptors that go along. Undefined
 * when it is too large for a datagram.
 */
export function encodeParkedProgram(steps: readonly StepGroup[], fds: readonly string[]): Uint8Array | undefined {
  const slots = new SlotTable();
  const { bytes } = encodeProgram([[], [], [], steps], '', slots);
  if (MESSAGE_HEADER_SIZE + bytes.length > MAX_DATAGRAM) return undefined;
  const message = Buffer.alloc(MESSAGE_HEADER_SIZE + bytes.length);
  message.writeUInt32LE(MAGIC, 0);
  message.writeUInt16LE(KINDS.program, 4);
  message.writeUInt16LE(fds.length, 6);
  message.writeInt32LE(NO_SLOT, 24);
  setProgramSizes(message, bytes.length, 0);
  message.writeInt32LE(NO_SLOT, 44);
  fds.forEach((name, i) => {
    message.writeUInt16LE(slots.index(name), FD_SLOTS_AT + i * 2);
  });
  message.set(bytes, MESSAGE_HEADER_SIZE);
  return message;
}

/** In a message that is complete but for these. */
export function setMessageId(message: Uint8Array, id: number): void {
  new DataView(message.buffer, message.byteOffset).setUint32(8, id, true);
}

/** In bytes. */
export function setProgramSizes(message: Uint8Array, launch: number, after: number): void {
  const v = new DataView(message.buffer, message.byteOffset);
  v.setUint32(28, launch, true);
  v.setUint32(32, after, true);
}

/** Writes a plan for the monitor. Throws InvalidArgumentError for what cannot be written, such as a NUL in a string. */
export const encodePlan = (plan: Plan, id: number, kind: 'launch' | 'hold'): EncodedPlan => encodeMessage(plan, id, kind);
