// socketcall(2) and ipc(2) of i386: one number for many calls, which the first argument tells apart.
//
// SECURITY: the arguments of the call itself lie in memory, where a filter cannot look. A call whose rules have conditions gets
// through the multiplexer the strictest of all their answers and the default's, so that a condition can never be slipped past.
// (libseccomp drops the condition on the first argument there, and so allows every socket when it is to allow some.)
import type { Condition } from './conditions.js';
import type { Rule } from './rules.js';

/** By number; include/uapi/linux/net.h */
const SOCKETCALLS =
  '_ socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg'.split(
    ' ',
  );
/** include/uapi/linux/ipc.h; the bits above the 16th are a version. */
const IPC_CALLS: readonly [string, number][] = [
  ['semop', 1],
  ['semget', 2],
  ['semctl', 3],
  ['semtimedop', 4],
  ['msgsnd', 11],
  ['msgrcv', 12],
  ['msgget', 13],
  ['msgctl', 14],
  ['shmat', 21],
  ['shmdt', 22],
  ['shmget', 23],
  ['shmctl', 24],
];

/** As the kernel orders them: of several filters the lowest counts (kernel/seccomp.c, ACTION_ONLY). */
const severity = (value: number): number => (value & 0xffff0000) | 0;

function answer(rules: readonly Rule[], fallback: number): number {
  const always = rules.find((rule) => rule.conditions.length === 0);
  if (always) return always.value;
  return rules.reduce((strictest, { value }) => (severity(value) < severity(strictest) ? value : strictest), fallback);
}

/** Adds the rules of the multiplexers that follow from those of the calls behind them. */
export function addMultiplexed(byName: Map<string, Rule[]>, fallback: number): void {
  const add = (multiplexer: string, call: string, when: Condition): void => {
    const rules = byName.get(call);
    const value = rules ? answer(rules, fallback) : fallback;
    if (value === fallback) return;
    byName.set(multiplexer, [...(byName.get(multiplexer) ?? []), { value, conditions: [when] }]);
  };
  const first = (mask: bigint, value: number): Condition => ({
    index: 0,
    op: 'SCMP_CMP_MASKED_EQ',
    value: mask,
    valueTwo: BigInt(value),
    narrow: true,
  });
  for (const [number, call] of SOCKETCALLS.entries()) add('socketcall', call, first(0xffffffffn, number));
  for (const [call, number] of IPC_CALLS) add('ipc', call, first(0xffffn, number));
}
