// What this host is like, read once: kinds of the well-known /proc and /sys paths, whether nodes can be made.
import { lstatSync, readFileSync } from 'node:fs';
import { native } from '../native.js';
import type { Lsm } from '../steps/security-label.js';

const kinds = new Map<string, 'file' | 'directory' | undefined>();

/**
 * The kind of a path below /proc or /sys. A container's own procfs has the same global files, so the host's
 * answer saves the container three system calls for each masked path.
 */
export function kernelPathKind(path: string): 'file' | 'directory' | undefined {
  if (!kinds.has(path)) {
    const s = lstatSync(path, { throwIfNoEntry: false });
    kinds.set(path, s === undefined ? undefined : s.isDirectory() ? 'directory' : 'file');
  }
  return kinds.get(path);
}

export const isKernelPath = (path: string): boolean => /^\/(proc|sys)\//.test(path);

let landlock: number | undefined;

/** The version of Landlock's interface (landlock(7)); 0 where there is none. */
export function landlockAbi(): number {
  landlock ??= process.platform === 'linux' ? native().landlockAbi() : 0;
  return landlock;
}

function reads(file: string, wanted: RegExp): boolean {
  try {
    return wanted.test(readFileSync(file, 'latin1'));
  } catch {
    return false;
  }
}

/** Whether the kernel enforces labels of this kind; securityfs need not be mounted. */
export function activeLsm(lsm: Lsm): boolean {
  if (reads('/sys/kernel/security/lsm', new RegExp(`\\b${lsm}\\b`))) return true;
  return lsm === 'apparmor' ? reads('/sys/module/apparmor/parameters/enabled', /^Y/) : reads('/sys/fs/selinux/enforce', /^[01]/);
}
