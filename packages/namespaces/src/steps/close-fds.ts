// The last look at descriptors before the program: only 0, 1 and 2 go on.
import { type Step, slot } from '@ctr/internal/steps';

/** Above this lies nothing that a plan keeps for the program. */
export const FIRST_PRIVATE_FD = 3;

/** Composite: closes all from `first` on but the report pipe and the descriptor in the slot `keep`, which exec closes. */
export const closeFds = (first: number, keep?: string): Step => ({
  call: 'close_fds',
  args: keep === undefined ? [first] : [first, slot(keep)],
  doing: 'close what the program must not see',
});
