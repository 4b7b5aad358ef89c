// Which kernel parameters belong to a namespace, and so to whoever owns it; all others are the whole host's.
import { fstatSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { Fd } from '@ctr/internal/fd';
import type { NamespaceChoice } from '../namespaces/join.js';
import { NAMESPACE_FILE, type NamespaceKind } from '../plan/clone-flags.js';
import { sysctlPath } from '../steps/sysctls.js';
import { fail, object, text } from './check-values.js';
import type { SpawnOptions } from './options.js';

/** By the path below /proc/sys. <https://docs.kernel.org/admin-guide/sysctl/kernel.html>, ipc_namespaces(7), network_namespaces(7) */
const OWNERS: readonly (readonly [RegExp, NamespaceKind])[] = [
  [/^net\//, 'network'],
  [/^kernel\/(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)$/, 'ipc'],
  [/^fs\/mqueue\//, 'ipc'],
  // The most that may be made in that user namespace: namespaces(7), "The /proc/sys/user directory".
  [/^user\/max_\w+$/, 'user'],
  [/^kernel\/pid_max$/, 'pid'],
];
/** Whose: since which Linux. Before, they were the whole host's. */
const SINCE: Readonly<Record<string, readonly [number, number]>> = { 'kernel/pid_max': [6, 14] };

function isOfNamespace(path: string): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const [needed, and] = SINCE[path] ?? [0, 0];
  return major > needed || (major === needed && minor >= and);
}
/** These have an option of their own. */
const NAMES: Readonly<Record<string, string>> = { 'kernel/hostname': 'hostname', 'kernel/domainname': 'domainname' };

/** A namespace to join may be this process's own under another name. */
function isOwn(kind: NamespaceKind, place: NamespaceChoice | undefined): boolean {
  if (place === 'new') return true;
  if (place === undefined || place === 'host') return false;
  const file = (pid: number | string): string => `/proc/${pid}/ns/${NAMESPACE_FILE[kind]}`;
  const options = { bigint: true, throwIfNoEntry: false } as const;
  const ours = statSync(file('self'), options);
  const theirs = Fd.is(place)
    ? fstatSync(place.fd, { bigint: true })
    : statSync(typeof place === 'string' ? place : file(typeof place === 'number' ? place : place.pid), options);
  // One that is not there fails later, with a better word for it.
  return theirs === undefined || theirs.ino !== ours?.ino || theirs.dev !== ours.dev;
}

/** @throws InvalidArgumentError */
export function checkSysctls(sysctls: unknown, namespaces: NonNullable<SpawnOptions['namespaces']>): void {
  object(sysctls, 'sysctls');
  for (const [name, value] of Object.entries(sysctls as object)) {
    const at = `sysctls[${JSON.stringify(name)}]`;
    text(value, at, 4096);
    const path = sysctlPath(name);
    if (!/^[\w./:@-]+$/.test(path) || path.split('/').some((part) => part === '' || part === '..' || part === '.'))
      fail('sysctls', "names such as 'net.ipv4.ip_forward'", name);
    if (NAMES[path] !== undefined) fail(at, `left out: it is the option ${NAMES[path]}`, value);
    const kind = OWNERS.find(([pattern]) => pattern.test(path))?.[1];
    if (kind !== undefined && !isOfNamespace(path))
      fail(at, `left out before Linux ${SINCE[path]?.join('.')}: it is the whole host's`, value);
    if (kind === undefined) fail(at, 'left out: it is not of a namespace but of the whole host', value);
    else if (!isOwn(kind, namespaces[kind])) fail(at, `left out, or namespaces.${kind} 'new': it would be the host's`, value);
  }
}
