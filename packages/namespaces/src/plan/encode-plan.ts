// Plan -> bytes, the mirror of native/init/plan.h, where the layout is drawn.
import { errnoNumber, InvalidArgumentError } from '@ctr/internal/errors';
import type { Step } from '@ctr/internal/steps';
import { CLONE_FLAGS } from './clone-flags.js';
import { PROGRAM_HEADER_SIZE, ProgramEncoder, SlotTable } from './encode-program.js';
import type { Plan, StepStage } from './plan.js';

export const MESSAGE_HEADER_SIZE = 48;
/** Above this the programs travel in a memfd: a datagram must fit into the socket's buffer. */
export const MAX_DATAGRAM = 96 * 1024;
const MAGIC = 0x31727463;
const KINDS = { launch: 1, hold: 2, release: 3 } as const;
const FLAGS = { shareMemory: 1, writeMaps: 2, denySetgroups: 4, fromMemfd: 8 } as const;

export interface EncodedPlan {
  /** Header and programs, or the header alone when `large` is set. */
  readonly message: Uint8Array;
  /** In slot order; where `large` is set the first place is the memfd's, which the caller puts there. */
  readonly fds: number[];
  /** The programs, when they are too large for a datagram. */
  readonly large?: Uint8Array;
}

function encodeProgram(plan: Plan, stages: readonly StepStage[], slots: SlotTable, maps: boolean) {
  const encoder = new ProgramEncoder(slots);
  const uid = maps && plan.idMaps ? encoder.string(plan.idMaps.uid) : 0;
  const gid = maps && plan.idMaps ? encoder.string(plan.idMaps.gid) : 0;
  const counts = stages.map((s) => encodeStage(encoder, plan.stages[s], s));
  return { bytes: encoder.finish(counts), uid, gid };
}

function encodeStage(encoder: ProgramEncoder, steps: readonly Step[], stage: StepStage): number {
  if (steps.length > 0xffff) throw new InvalidArgumentError(`plan.stages.${stage}`, 'at most 65535 steps', steps.length);
  for (const s of steps) encoder.step(s, (s.allow ?? []).map(errnoNumber));
  return steps.length;
}

/**
 * CLONE_VM is a third faster, but the child's memory is the monitor's until exec. So only for a child that is
 * alone in a new pid namespace, and never on the way into running namespaces, whose processes could see it.
 */
const sharesMemory = (plan: Plan): boolean => plan.cloneFlags.includes('CLONE_NEWPID') && plan.stages.enter.length === 0;

function encodeWith(plan: Plan, id: number, kind: keyof typeof KINDS, fromMemfd: boolean): EncodedPlan {
  const names = Object.keys(plan.fds);
  const slots = new SlotTable(fromMemfd ? ['', ...names] : names);
  const launch = encodeProgram(plan, ['prepare', 'enter', 'setup'], slots, true);
  const after = encodeProgram(plan, ['kill', 'collect', 'cleanup'], slots, false);
  const size = launch.bytes.length + after.bytes.length;
  if (!fromMemfd && MESSAGE_HEADER_SIZE + size > MAX_DATAGRAM) return encodeWith(plan, id, kind, true);

  const message = Buffer.alloc(fromMemfd ? MESSAGE_HEADER_SIZE : MESSAGE_HEADER_SIZE + size);
  const flags =
    (sharesMemory(plan) ? FLAGS.shareMemory : 0) |
    (plan.idMaps ? FLAGS.writeMaps : 0) |
    (plan.idMaps?.denySetgroups ? FLAGS.denySetgroups : 0) |
    (fromMemfd ? FLAGS.fromMemfd : 0);
  let clone = 0n;
  for (const f of plan.cloneFlags) clone |= BigInt(CLONE_FLAGS[f] ?? 0);
  message.writeUInt32LE(MAGIC, 0);
  message.writeUInt16LE(KINDS[kind], 4);
  message.writeUInt16LE(names.length + (fromMemfd ? 1 : 0), 6);
  message.writeUInt32LE(id, 8);
  message.writeUInt32LE(flags, 12);
  message.writeBigUInt64LE(clone, 16);
  message.writeInt32LE(plan.cgroup === undefined ? -1 : slots.index(plan.cgroup), 24);
  message.writeUInt32LE(launch.bytes.length, 28);
  message.writeUInt32LE(after.bytes.length, 32);
  message.writeUInt32LE(launch.uid, 36);
  message.writeUInt32LE(launch.gid, 40);
  const fds = names.map((n) => plan.fds[n] as number);
  if (fromMemfd) return { message, fds, large: Buffer.concat([launch.bytes, after.bytes]) };
  message.set(launch.bytes, MESSAGE_HEADER_SIZE);
  message.set(after.bytes, MESSAGE_HEADER_SIZE + launch.bytes.length);
  return { message, fds };
}

/** Writes a plan for the monitor. Throws InvalidArgumentError for what cannot be written, such as a NUL in a string. */
export const encodePlan = (plan: Plan, id: number, kind: 'launch' | 'hold'): EncodedPlan => encodeWith(plan, id, kind, false);

/** The message that lets a hold go. */
export function encodeRelease(id: number): Uint8Array {
  const message = Buffer.alloc(MESSAGE_HEADER_SIZE);
  message.writeUInt32LE(MAGIC, 0);
  message.writeUInt16LE(KINDS.release, 4);
  message.writeUInt32LE(id, 8);
  message.writeInt32LE(-1, 24);
  return message;
}

export { PROGRAM_HEADER_SIZE };
