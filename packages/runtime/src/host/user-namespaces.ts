// Why a host does not let users make user namespaces: the kernel only answers EPERM or ENOSPC, the settings tell.
import { readFile } from 'node:fs/promises';
import type { Feature } from './try-start.js';

interface Setting {
  readonly file: string;
  /** The value that forbids it. */
  readonly forbids: (value: string) => boolean;
  readonly why: string;
  readonly cure: string;
}

const SETTINGS: readonly Setting[] = [
  {
    file: '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
    forbids: (v) => v !== '0',
    why: 'AppArmor lets only programs with a profile make user namespaces, as on Ubuntu since 23.10',
    cure: 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for node with "userns,"',
  },
  {
    file: '/proc/sys/kernel/unprivileged_userns_clone',
    forbids: (v) => v === '0',
    why: 'user namespaces are for root only, as on older Debian',
    cure: 'sysctl -w kernel.unprivileged_userns_clone=1',
  },
  {
    file: '/proc/sys/user/max_user_namespaces',
    forbids: (v) => v === '0',
    why: 'the number of user namespaces is limited to 0',
    cure: 'sysctl -w user.max_user_namespaces=16384',
  },
];

const OTHERWISE = {
  why: 'the kernel refuses it; no setting that does so was found',
  cure: 'inside another container that one must allow it: its seccomp filter must let clone and unshare make user namespaces',
};

/** Says why `tried` failed. @param read reads a file; rejects when there is none. */
export async function explainUserNamespaces(
  tried: Feature,
  read = (file: string): Promise<string> => readFile(file, 'utf8'),
): Promise<Feature> {
  if (tried.ok) return tried;
  for (const setting of SETTINGS) {
    const value = await read(setting.file).catch(() => undefined);
    if (value !== undefined && setting.forbids(value.trim())) return { ok: false, why: setting.why, cure: setting.cure };
  }
  return { ok: false, ...OTHERWISE, ...(tried.why === undefined ? {} : { why: `${OTHERWISE.why} (${tried.why})` }) };
}
