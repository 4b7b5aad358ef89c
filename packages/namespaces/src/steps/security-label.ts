// The label under which a program runs where the kernel has AppArmor or SELinux: written to its attr/exec file.
import { type Step, slot } from '@ctr/internal/steps';
import { AT_FDCWD, openFlags, openHow } from './flags.js';

const PROC = 'host.proc';
const ATTR = 'label';

export type Lsm = 'apparmor' | 'selinux';

/** Below /proc/<pid>/attr; the folder is AppArmor's own since Linux 5.8, the plain files are of whoever came first. */
const FILE: Readonly<Record<Lsm, string>> = { apparmor: 'apparmor', selinux: '' };

export const labelFile = (lsm: Lsm, name: 'exec' | 'current'): string => `attr/${FILE[lsm] === '' ? '' : `${FILE[lsm]}/`}${name}`;

/**
 * SECURITY: the host's own procfs is taken by its descriptor before anything of an image can be seen: a container that
 * mounts something else on /proc would otherwise get the label written into its own file (CVE-2019-16884, CVE-2025-52881).
 */
export const openHostProc = (): Step => ({
  call: 'openat',
  args: [AT_FDCWD, '/proc', openFlags('O_PATH', 'O_DIRECTORY', 'O_CLOEXEC')],
  into: PROC,
  doing: 'open /proc',
});

/**
 * By the program's own process, just before the program: the kernel takes it from nobody else. `open` comes before rules of Landlock, which may
 * let nothing be written.
 */
export function writeLabel(lsm: Lsm, label: string): { open: Step; write: Step } {
  const doing = `set the ${lsm === 'apparmor' ? 'AppArmor profile' : 'SELinux label'} ${label}`;
  const file = `thread-self/${labelFile(lsm, 'exec')}`;
  const text = lsm === 'apparmor' ? `exec ${label}` : label;
  const bytes = Buffer.from(text);
  const how = openHow(['O_WRONLY', 'O_CLOEXEC'], ['RESOLVE_BENEATH', 'RESOLVE_NO_MAGICLINKS', 'RESOLVE_NO_XDEV']);
  return {
    open: { call: 'openat2', args: [slot(PROC), file, how, 24], into: ATTR, doing, path: `/proc/${file}` },
    write: { call: 'write', args: [slot(ATTR), { bytes, text: JSON.stringify(text) }, bytes.length], doing, path: `/proc/${file}` },
  };
}
