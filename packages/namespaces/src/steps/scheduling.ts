// How the kernel gives a program its time: policy, nice value, I/O priority, processors.
// sched_setattr(2), setpriority(2), ioprio_set(2), sched_setaffinity(2)
import { flags, named, type Step } from '@ctr/internal/steps';

/** Policies of sched(7) by their names. */
export const SCHED_POLICIES: Readonly<Record<string, number>> = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
};

export const SCHED_FLAGS: Readonly<Record<string, number>> = {
  SCHED_FLAG_RESET_ON_FORK: 1,
  SCHED_FLAG_RECLAIM: 2,
  SCHED_FLAG_DL_OVERRUN: 4,
  SCHED_FLAG_KEEP_POLICY: 8,
  SCHED_FLAG_KEEP_PARAMS: 16,
  SCHED_FLAG_UTIL_CLAMP_MIN: 32,
  SCHED_FLAG_UTIL_CLAMP_MAX: 64,
};

export const IO_CLASSES: Readonly<Record<string, number>> = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 };

/** OCI's `process.scheduler`. */
export interface Scheduler {
  /** 'SCHED_OTHER', 'SCHED_FIFO', 'SCHED_RR', 'SCHED_BATCH', 'SCHED_IDLE' or 'SCHED_DEADLINE'. */
  policy: string;
  /** -20 to 19, of SCHED_OTHER and SCHED_BATCH. */
  nice?: number;
  /** 1 to 99, of SCHED_FIFO and SCHED_RR. */
  priority?: number;
  /** Such as 'SCHED_FLAG_RESET_ON_FORK'. */
  flags?: readonly string[];
  /** Of SCHED_DEADLINE, nanoseconds: how long it runs in each `period`, and until when after its beginning. */
  runtime?: number;
  deadline?: number;
  period?: number;
}

/** OCI's `process.ioPriority`. */
export interface IoPriority {
  /** 'IOPRIO_CLASS_RT', 'IOPRIO_CLASS_BE' or 'IOPRIO_CLASS_IDLE'. */
  class: string;
  /** 0, the first, to 7; default 0. Without meaning for the idle class. */
  priority?: number;
}

export function setScheduler(s: Scheduler): Step {
  const flagWord = flags(SCHED_FLAGS, s.flags ?? []);
  const bytes = Buffer.alloc(48);
  bytes.writeUInt32LE(48, 0);
  bytes.writeUInt32LE(SCHED_POLICIES[s.policy] as number, 4);
  bytes.writeBigUInt64LE(BigInt(flagWord.value), 8);
  bytes.writeInt32LE(s.nice ?? 0, 16);
  bytes.writeUInt32LE(s.priority ?? 0, 20);
  [s.runtime, s.deadline, s.period].forEach((ns, i) => {
    bytes.writeBigUInt64LE(BigInt(ns ?? 0), 24 + i * 8);
  });
  const { policy: _, flags: __, ...numbers } = s;
  const words = Object.entries(numbers).map(([key, value]) => `${key}=${value}`);
  const text = `{${[s.policy, ...(s.flags?.length ? [flagWord.text] : []), ...words].join(', ')}}`;
  return { call: 'sched_setattr', args: [0, { bytes, text }, 0], doing: `schedule by ${s.policy}` };
}

export const setNice = (nice: number): Step => ({
  call: 'setpriority',
  args: [named(0, 'PRIO_PROCESS'), 0, nice],
  doing: `set the nice value ${nice}`,
});

export const setIoPriority = (io: IoPriority): Step => ({
  call: 'ioprio_set',
  args: [
    named(1, 'IOPRIO_WHO_PROCESS'),
    0,
    named(((IO_CLASSES[io.class] as number) << 13) | (io.priority ?? 0), `${io.class}|${io.priority ?? 0}`),
  ],
  doing: 'set the I/O priority',
});

/** A set of numbers as the kernel has it: one bit each, in words of eight bytes. */
export function bitSet(numbers: readonly number[]): Uint8Array {
  const bytes = new Uint8Array((Math.floor(Math.max(0, ...numbers) / 64) + 1) * 8);
  for (const n of numbers) bytes[n >> 3] = (bytes[n >> 3] as number) | (1 << (n & 7));
  return bytes;
}

export function setAffinity(cpus: readonly number[], text: string): Step {
  const bytes = bitSet(cpus);
  return { call: 'sched_setaffinity', args: [0, bytes.length, { bytes, text: `{${text}}` }], doing: `run on the processors ${text}` };
}
