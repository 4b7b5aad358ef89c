// Descriptors that a program gets under numbers of the caller's choice.
import { named, type Step, slot } from '@ctr/internal/steps';
import { closeFds, FIRST_PRIVATE_FD } from './close-fds.js';
import { openFlags } from './flags.js';

const DOING = 'give the program its descriptors';
const F_DUPFD_CLOEXEC = named(1030, 'F_DUPFD_CLOEXEC');

/** One that stays open until exec, or beyond. */
export interface KeptFd {
  number: number;
  slot: string;
  /** It is gone with exec. */
  untilExec?: boolean;
}

/** The slot in which a descriptor of the caller's comes along. */
export const extraFdSlot = (number: number): string => `fd.${number}`;

/** From here on nothing of the caller's lies. */
export const firstFree = (numbers: readonly number[]): number => Math.max(FIRST_PRIVATE_FD - 1, ...numbers) + 1;

/**
 * Moves what must not be trodden on out of the way, puts each descriptor into its place, and closes all the others. The
 * report pipe has any number, so the launcher itself moves it. `socket`: a slot that stays open until exec, under whatever number.
 */
export function placeFds(kept: readonly KeptFd[], socket?: string): Step[] {
  const sorted = [...kept].sort((a, b) => a.number - b.number);
  const free = firstFree(sorted.map((k) => k.number));
  const gaps = [FIRST_PRIVATE_FD, ...sorted.map((k) => k.number + 1)]
    .map((first, i) => [first, (sorted[i]?.number ?? free) - 1] as const)
    .filter(([first, last]) => first <= last);
  return [
    { call: 'move_report', args: [free], doing: DOING },
    ...[...sorted.map((k) => k.slot), ...(socket === undefined ? [] : [socket])].map(
      (name): Step => ({ call: 'fcntl', args: [slot(name), F_DUPFD_CLOEXEC, free], into: name, doing: DOING }),
    ),
    ...sorted.map(
      (k): Step => ({ call: 'dup3', args: [slot(k.slot), k.number, openFlags(...(k.untilExec ? ['O_CLOEXEC'] : []))], doing: DOING }),
    ),
    ...gaps.map(([first, last]): Step => ({ call: 'close_range', args: [first, last, 0], doing: DOING })),
    closeFds(free, socket),
  ];
}
