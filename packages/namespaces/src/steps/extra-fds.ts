// Descriptors that a program gets under numbers of the caller's choice.
import { named, type Step, slot } from '@ctr/internal/steps';
import { closeFds, FIRST_PRIVATE_FD } from './close-fds.js';

const DOING = 'give the program its descriptors';
const F_DUPFD_CLOEXEC = named(1030, 'F_DUPFD_CLOEXEC');

/** The slot in which the descriptor comes along. */
export const extraFdSlot = (number: number): string => `fd.${number}`;

/** From here on nothing of the caller's lies. */
export const firstFree = (numbers: readonly number[]): number => Math.max(FIRST_PRIVATE_FD - 1, ...numbers) + 1;

/**
 * Moves what must not be trodden on out of the way, puts each descriptor into its place, and closes all the others. The
 * report pipe has any number, so the launcher itself moves it.
 */
export function placeFds(numbers: readonly number[]): Step[] {
  const free = firstFree(numbers);
  const sorted = [...numbers].sort((a, b) => a - b);
  const gaps = [FIRST_PRIVATE_FD, ...sorted.map((n) => n + 1)]
    .map((first, i) => [first, (sorted[i] ?? free) - 1] as const)
    .filter(([first, last]) => first <= last);
  return [
    { call: 'move_report', args: [free], doing: DOING },
    ...sorted.map(
      (n): Step => ({ call: 'fcntl', args: [slot(extraFdSlot(n)), F_DUPFD_CLOEXEC, free], into: extraFdSlot(n), doing: DOING }),
    ),
    ...sorted.map((n): Step => ({ call: 'dup3', args: [slot(extraFdSlot(n)), n, 0], doing: DOING })),
    ...gaps.map(([first, last]): Step => ({ call: 'close_range', args: [first, last, 0], doing: DOING })),
    closeFds(free),
  ];
}
