// The flags of the seccomp(2) call that an OCI profile names; they are no part of the program.
import { didYouMean, InvalidArgumentError } from '@ctr/internal/errors';

/** Value by name; include/uapi/linux/seccomp.h. */
export const SECCOMP_FILTER_FLAGS: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_NEW_LISTENER: 8,
  SECCOMP_FILTER_FLAG_TSYNC_ESRCH: 16,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32,
};

/**
 * The second argument of `seccomp(SECCOMP_SET_MODE_FILTER, …)` for the `flags` of a profile; none give 0.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an unknown name.
 * @see <https://man7.org/linux/man-pages/man2/seccomp.2.html>
 */
export function seccompFlags(names: readonly string[] = [], path = 'seccomp.flags'): number {
  let flags = 0;
  for (const [i, name] of names.entries()) {
    const bit = Object.hasOwn(SECCOMP_FILTER_FLAGS, name) ? SECCOMP_FILTER_FLAGS[name] : undefined;
    const near = typeof name === 'string' ? didYouMean(name, Object.keys(SECCOMP_FILTER_FLAGS)) : '';
    if (bit === undefined) throw new InvalidArgumentError(`${path}[${i}]`, `a flag such as 'SECCOMP_FILTER_FLAG_LOG'${near}`, name);
    flags |= bit;
  }
  return flags;
}
