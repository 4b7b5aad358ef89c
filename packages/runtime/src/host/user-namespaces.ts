// Why a host does not let users make user namespaces: the kernel only answers EPERM, ENOSPC or EUSERS; its settings, and what
// is around this process, tell which of the reasons it is.
import { readFile, readlink } from 'node:fs/promises';
import type { Feature } from './try-start.js';

/** Where {@link explainUserNamespaces} looks: the content of a file, or the target of a link. Rejects when there is none. */
export type Look = (path: string) => Promise<string>;

interface Facts {
  /** The text of what the kernel said. */
  readonly said: string;
  /** Trimmed; undefined when it cannot be read. */
  readonly look: (path: string) => Promise<string | undefined>;
}

interface Reason {
  readonly why: string;
  readonly cure: string;
}

type Suspect = (facts: Facts) => Promise<Reason | undefined>;

const PROGRAM = process.execPath;

/** AppArmor's rule is for programs without a profile: one with "userns," may, whatever the sysctl says. */
const apparmor: Suspect = async ({ look }) => {
  const value = await look('/proc/sys/kernel/apparmor_restrict_unprivileged_userns');
  if (value === undefined || value === '0') return undefined;
  const profile = (await look('/proc/self/attr/apparmor/current')) ?? (await look('/proc/self/attr/current'));
  const confined = profile !== undefined && !/^unconfined\b/.test(profile) ? ` (this process runs under ${profile})` : '';
  return {
    why: `AppArmor lets only programs with a profile make user namespaces, as on Ubuntu since 23.10${confined}`,
    cure: `an AppArmor profile for ${PROGRAM} with "userns,", as root: printf 'abi <abi/4.0>,\\nprofile node ${PROGRAM} flags=(unconfined) { userns, }\\n' > /etc/apparmor.d/node && apparmor_parser -r /etc/apparmor.d/node; or for all programs sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`,
  };
};

const debian: Suspect = async ({ look }) =>
  (await look('/proc/sys/kernel/unprivileged_userns_clone')) === '0'
    ? { why: 'user namespaces are for root only, as on older Debian', cure: 'sysctl -w kernel.unprivileged_userns_clone=1' }
    : undefined;

const limit: Suspect = async ({ look }) =>
  (await look('/proc/sys/user/max_user_namespaces')) === '0'
    ? { why: 'the number of user namespaces is limited to 0', cure: 'sysctl -w user.max_user_namespaces=16384' }
    : undefined;

/** The limit counts for a namespace and all below it, so one around this process may be used up: namespaces(7). */
const usedUp: Suspect = async ({ said, look }) => {
  if (!said.includes('ENOSPC')) return undefined;
  const most = await look('/proc/sys/user/max_user_namespaces');
  return {
    why: `no further user namespace is left: of ${most ?? 'some number'} here, or of those around this process`,
    cure: 'end what makes so many, or raise user.max_user_namespaces, on the host too when this is a container',
  };
};

const tooDeep: Suspect = async ({ said }) =>
  said.includes('EUSERS')
    ? { why: 'user namespaces are nested 32 deep already', cure: 'start it further outside: each container with one of its own is a level' }
    : undefined;

/** clone(2): EPERM for one whose own ids have no meaning in the namespace around it. */
const unmapped: Suspect = async ({ look }) => {
  const map = await look('/proc/self/uid_map');
  const status = await look('/proc/self/status');
  const uid = Number(/^Uid:\s+\d+\s+(\d+)/m.exec(status ?? '')?.[1]);
  if (map === undefined || Number.isNaN(uid)) return undefined;
  const known = map.split('\n').some((line) => {
    const [first = 0, , size = 0] = line.trim().split(/\s+/).map(Number);
    return first <= uid && uid < first + size;
  });
  return known
    ? undefined
    : {
        why: `user ${uid} has no id in the user namespace around it`,
        cure: 'run as a user that its map has, such as root of that container',
      };
};

/** clone(2): EPERM for one whose root directory is not that of its mount namespace. */
const chrooted: Suspect = async ({ look }) => {
  const [own, mounts] = [await look('/proc/self/root'), await look('/proc/self/mountinfo')];
  if (own === undefined || mounts === undefined || mounts === '') return undefined;
  const hasRoot = mounts.split('\n').some((line) => line.split(' ')[4] === '/');
  return own === '/' && hasRoot
    ? undefined
    : { why: 'this process runs in a chroot', cure: 'start it without chroot, or with pivot_root in its place' };
};

/** proc(5): Seccomp: 2 is a filter, and a filter answers EPERM, or ENOSYS for clone3, before the kernel is asked. */
const filtered: Suspect = async ({ look }) => {
  const status = await look('/proc/self/status');
  if (!/^Seccomp:\s*2$/m.test(status ?? '')) return undefined;
  const noNewPrivileges = /^NoNewPrivs:\s*1$/m.test(status ?? '');
  return {
    why: `a seccomp filter around this process refuses it, as those of container engines do${noNewPrivileges ? '' : ' for all but CAP_SYS_ADMIN'}`,
    cure: 'start the outer container with a filter that allows clone, clone3, unshare, setns, mount and pivot_root: docker run --security-opt seccomp=FILE, or seccomp=unconfined',
  };
};

/** What is certain first: a setting that forbids it, then what the errno says, then what is only likely. */
const SUSPECTS: readonly Suspect[] = [apparmor, debian, limit, usedUp, tooDeep, unmapped, chrooted, filtered];

const OTHERWISE: Reason = {
  why: 'the kernel refuses it; no setting that does so was found',
  cure: 'inside another container that one must allow it; on the host a security module may forbid it: look at the kernel’s log, dmesg',
};

const lookAt: Look = (path) => (path.endsWith('/root') ? readlink(path) : readFile(path, 'utf8'));

/** Says why `tried` failed. */
export async function explainUserNamespaces(tried: Feature, look: Look = lookAt): Promise<Feature> {
  if (tried.ok) return tried;
  const facts: Facts = {
    said: tried.why ?? '',
    look: (path) =>
      look(path).then(
        (text) => text.trim(),
        () => undefined,
      ),
  };
  for (const suspect of SUSPECTS) {
    const reason = await suspect(facts);
    if (reason !== undefined) return { ok: false, ...reason };
  }
  return { ok: false, ...OTHERWISE, ...(tried.why === undefined ? {} : { why: `${OTHERWISE.why} (${tried.why})` }) };
}
