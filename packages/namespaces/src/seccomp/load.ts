// What spawn() and enter() take for `seccomp`: a program alone, or with the flags of the call and a listener.
import { InvalidArgumentError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { SECCOMP_RET } from './actions.js';
import { decodeProgram, RET_K } from './bpf.js';
import { SECCOMP_FILTER_FLAGS, seccompFlags } from './flags.js';
import { seccompProgramFault } from './simulate.js';
import { checkKeys } from './validate.js';

/** The process that loaded a filter with a listener. */
export interface ListeningProcess {
  /** As this process sees it; 0 where it cannot be seen from here. */
  readonly pid: number;
}

/** A filter and how it is loaded, seccomp(2). */
export interface SeccompFilter {
  /** From compileSeccomp or defaultSeccompFilter. */
  program: Uint8Array;
  /** Names of SECCOMP_FILTER_FLAG_*, such as 'SECCOMP_FILTER_FLAG_LOG'; `undefined` means none. */
  flags?: readonly string[] | undefined;
  /**
   * Receives the descriptor that asks for each call which the program answers with SCMP_ACT_NOTIFY, and owns it from then on:
   * give it to a SeccompListener, or to another process. It is called once, after the filter was loaded and before the
   * program runs, so that the first execve can be answered too; when the start fails earlier, it is not called. Such calls
   * wait until they are answered; once the descriptor is closed they fail with ENOSYS. `undefined` means no listener: ENOSYS at once.
   * `process` says whose it is, since spawn() may not have resolved yet.
   */
  onListener?: ((listener: Fd, process: ListeningProcess) => void) | undefined;
}

const KEYS = ['program', 'flags', 'onListener'];
const { SECCOMP_FILTER_FLAG_NEW_LISTENER: NEW_LISTENER, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: WAIT_KILLABLE } =
  SECCOMP_FILTER_FLAGS as Record<string, number>;

/** Who receives the listener, of either form. */
export const listenerOf = (given: Uint8Array | SeccompFilter | undefined): SeccompFilter['onListener'] =>
  given instanceof Uint8Array ? undefined : given?.onListener;

function checkProgram(program: unknown, path: string): asserts program is Uint8Array {
  if (!(program instanceof Uint8Array) || program.length % 8 !== 0 || program.length === 0)
    throw new InvalidArgumentError(path, 'the bytes of a filter program, a multiple of 8', program);
}

/**
 * Whether a filter's program ever answers SCMP_ACT_NOTIFY, so that it can have a listener.
 * True also for a program with instructions that are not known here.
 */
export function seccompAsks(program: Uint8Array): boolean {
  // One with instructions that we do not know is the kernel's to judge.
  if (seccompProgramFault(program) !== undefined) return true;
  return decodeProgram(program).some(({ code, k }) => code === RET_K && (k & 0x7fff0000) === SECCOMP_RET.SCMP_ACT_NOTIFY);
}

/**
 * Checks `seccomp` of spawn() and enter().
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT, also for a listener that nothing would ever ask.
 */
export function checkSeccompFilter(given: unknown): void {
  if (given instanceof Uint8Array || typeof given !== 'object' || given === null) checkProgram(given, 'seccomp');
  else checkParts(given);
}

function checkParts(given: Partial<SeccompFilter>): void {
  checkKeys(given, 'seccomp', KEYS);
  const { program, flags, onListener } = given;
  checkProgram(program, 'seccomp.program');
  if (onListener !== undefined && typeof onListener !== 'function')
    throw new InvalidArgumentError('seccomp.onListener', 'a function that takes an Fd', onListener);
  if (onListener !== undefined && !seccompAsks(program))
    throw new InvalidArgumentError('seccomp.onListener', 'absent, since the program never answers SCMP_ACT_NOTIFY', onListener);
  if (flags === undefined) return;
  if (!Array.isArray(flags)) throw new InvalidArgumentError('seccomp.flags', 'a list', flags);
  const bits = seccompFlags(flags);
  if (bits & (NEW_LISTENER as number))
    throw new InvalidArgumentError('seccomp.flags', 'without SECCOMP_FILTER_FLAG_NEW_LISTENER: give onListener', flags);
  if (bits & (WAIT_KILLABLE as number) && onListener === undefined)
    throw new InvalidArgumentError('seccomp.flags', 'without SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, which needs onListener', flags);
}
