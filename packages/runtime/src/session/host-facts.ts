// Reads what compiling has to know about this host, once for each session.
import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import type { CgroupParent } from '@ctr/cgroups';
import { syscallErrorFrom } from '@ctr/internal/errors';
import { capabilitiesOf, parseProcLimits, readSubIds } from '@ctr/namespaces';
import type { HostFacts } from '../oci/host-facts.js';

/** '6.18.44-foo' -> [6, 18] */
export function kernelVersion(text: string = release()): readonly [number, number] {
  const [major, minor] = text.split('.');
  return [Number.parseInt(major ?? '0', 10), Number.parseInt(minor ?? '0', 10)];
}

export const atLeast = (want: readonly [number, number], have = kernelVersion()): boolean =>
  have[0] > want[0] || (have[0] === want[0] && have[1] >= want[1]);

const mask = (status: string, field: string): bigint =>
  BigInt(`0x${new RegExp(`^${field}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? '0'}`);

/** One line that maps everything: the first user namespace. user_namespaces(7) */
const isInitialUserNamespace = (uidMap: string): boolean => /^\s*0\s+0\s+4294967295\s*$/.test(uidMap);

const read = (file: string): Promise<string> =>
  readFile(`/proc/self/${file}`, 'utf8').catch((error: unknown) => {
    throw syscallErrorFrom(error, 'look at this process', { hint: 'mount procfs on /proc' });
  });

/** What this process may do, from /proc/self/status. */
export async function readPrivileges(): Promise<{ privileged: boolean; capabilities: readonly string[] }> {
  const status = await read('status');
  const effective: readonly string[] = capabilitiesOf(mask(status, 'CapEff'));
  return { privileged: effective.includes('CAP_SYS_ADMIN'), capabilities: capabilitiesOf(mask(status, 'CapBnd')) };
}

export async function readHostFacts(parent: CgroupParent): Promise<HostFacts> {
  const [privileges, limits, uidMap] = await Promise.all([readPrivileges(), read('limits'), read('uid_map')]);
  const initialUserNamespace = isInitialUserNamespace(uidMap);
  const versions = parent.hierarchies.flatMap((h) => h.controllers.map((c) => [c, h.version] as const));
  return {
    uid: process.geteuid?.() ?? 0,
    gid: process.getegid?.() ?? 0,
    ...privileges,
    initialUserNamespace,
    hardLimits: Object.fromEntries(Object.entries(parseProcLimits(limits)).map(([name, limit]) => [name, limit.hard])),
    // tmpfs takes user.* attributes, which overlayfs needs in a user namespace, since Linux 6.6.
    memoryUpper: (privileges.privileged && initialUserNamespace) || atLeast([6, 6]),
    controllers: Object.fromEntries(versions),
    cgroup2: parent.host.unified !== null,
    ...(privileges.privileged ? {} : { subIds: readSubIds() }),
  };
}
