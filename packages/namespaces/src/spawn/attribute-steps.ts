// The further attributes as steps, each in its own file of src/steps. What is not asked for costs nothing.
import type { Step } from '@ctr/internal/steps';
import { extraFdSlot, firstFree, type KeptFd } from '../steps/extra-fds.js';
import { keep } from '../steps/keep.js';
import { joinKeyring } from '../steps/keyring.js';
import { makeRuleset } from '../steps/landlock.js';
import { setMemoryPolicy } from '../steps/memory-policy.js';
import { setPersonality } from '../steps/personality.js';
import { INIT_SLOT } from '../steps/reaper.js';
import { setAffinity, setIoPriority, setNice, setScheduler } from '../steps/scheduling.js';
import { type Lsm, writeLabel } from '../steps/security-label.js';
import type { ProcessAttributes } from './attributes.js';
import { landlockAbi } from './host-facts.js';
import { parseNumberList } from './number-list.js';

/** Before the ids change, while the rights to raise a priority are there. */
export function attributeSteps(o: ProcessAttributes): readonly Step[] {
  const { scheduler, nice, ioPriority, cpuAffinity, memoryPolicy, personality, keyring, landlock } = o;
  const key = JSON.stringify([scheduler, nice, ioPriority, cpuAffinity, memoryPolicy, personality, keyring, landlock]);
  return keep(`attributes ${key}`, () => [
    ...(keyring === 'inherit' ? [] : [joinKeyring()]),
    ...(cpuAffinity === undefined ? [] : [setAffinity(parseNumberList(cpuAffinity, 'cpuAffinity'), cpuAffinity)]),
    ...(scheduler === undefined ? [] : [setScheduler(scheduler)]),
    ...(nice === undefined ? [] : [setNice(nice)]),
    ...(ioPriority === undefined ? [] : [setIoPriority(ioPriority)]),
    ...(memoryPolicy === undefined
      ? []
      : [setMemoryPolicy(memoryPolicy, memoryPolicy.nodes ? parseNumberList(memoryPolicy.nodes, 'memoryPolicy.nodes') : [])]),
    ...(personality === undefined ? [] : [setPersonality(personality)]),
    ...(landlock === undefined ? [] : makeRuleset(landlock, landlockAbi())),
  ]);
}

/** The label that is asked for, if any. */
export function labelOf(o: ProcessAttributes): { lsm: Lsm; label: string } | undefined {
  if (o.apparmorProfile !== undefined) return { lsm: 'apparmor', label: o.apparmorProfile };
  return o.selinuxLabel === undefined ? undefined : { lsm: 'selinux', label: o.selinuxLabel };
}

export function labelSteps(o: ProcessAttributes): { open: Step[]; write: Step[] } {
  const wanted = labelOf(o);
  if (wanted === undefined) return { open: [], write: [] };
  const { open, write } = writeLabel(wanted.lsm, wanted.label);
  return { open: [open], write: [write] };
}

/** Descriptors that travel with the plan. */
export function extraFds(o: ProcessAttributes): Record<string, number> {
  return o.fds === undefined ? {} : Object.fromEntries(Object.entries(o.fds).map(([n, fd]) => [extraFdSlot(Number(n)), fd.fd]));
}

const extraNumbers = (o: ProcessAttributes): number[] => (o.fds === undefined ? [] : Object.keys(o.fds).map(Number));

/** The number under which ctr-init is kept until exec: above those of the caller. */
export const initNumber = (o: ProcessAttributes): number => firstFree(extraNumbers(o));

/** What stays open beside the standard streams. */
export const keptFds = (o: ProcessAttributes & { init?: boolean }): KeptFd[] => [
  ...extraNumbers(o).map((number) => ({ number, slot: extraFdSlot(number) })),
  ...(o.init ? [{ number: initNumber(o), slot: INIT_SLOT, untilExec: true }] : []),
];
