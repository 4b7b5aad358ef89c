// Which of the newer system calls this host refuses to know: an older sandbox around this process may answer ENOSYS for
// them. Found out by the first start that fails for it; that one is then made by the older calls, as are all after it.
import { StartError } from '../../launcher/start-error.js';

/** The new mount API (Linux 5.2 and 5.12), which is given up as a whole. */
export const MOUNT_API: ReadonlySet<string> = new Set('fsopen fsconfig fsmount fspick open_tree move_mount mount_setattr'.split(' '));

/** For the life of this process: a filter that hides a call is never taken off. */
export const missing = { mounts: false, openat2: false };

const ENOSYS = -38;

/** True when the failure told something new, so that another try by other means is worth it. */
export function learnFrom(error: unknown): boolean {
  if (!(error instanceof StartError) || error.errno !== ENOSYS) return false;
  const { syscall } = error;
  const before = { ...missing };
  if (MOUNT_API.has(syscall)) missing.mounts = true;
  if (syscall === 'openat2') missing.openat2 = true;
  return missing.mounts !== before.mounts || missing.openat2 !== before.openat2;
}
