// In a user namespace no device can be made: the host's own is shown. So it must be the one that was asked for, as it is.
import { type Stats, statSync } from 'node:fs';
import { type IdMap, oneId, toHostId } from '../userns/id-map.js';
import { fail } from './check-values.js';
import type { Device, SpawnOptions } from './options.js';

/** new_decode_dev in the kernel's kdev_t.h. */
const major = (rdev: number): number => (rdev >>> 8) & 0xfff;
const minor = (rdev: number): number => (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);

function kindOf(s: Stats): string {
  if (s.isCharacterDevice()) return 'c';
  return s.isBlockDevice() ? 'b' : 'no device';
}

const octal = (mode: number): string => `0o${mode.toString(8)}`;

function checkOne(d: Device, at: string, maps: { uid: readonly IdMap[]; gid: readonly IdMap[] }): void {
  const path = d.source ?? d.path;
  const there = statSync(path, { throwIfNoEntry: false });
  const cure = 'since a user namespace can make none';
  if (there === undefined) fail(`${at}.${d.source === undefined ? 'path' : 'source'}`, `a device of this host, ${cure}`, path);
  const found = `${kindOf(there)} ${major(there.rdev)}:${minor(there.rdev)}`;
  const asked = `${d.type === 'u' ? 'c' : d.type} ${d.major}:${d.minor}`;
  if (found !== asked) fail(at, `what ${path} of this host is (${kindOf(there) === 'no device' ? 'no device' : found}), ${cure}`, asked);
  const mode = there.mode & 0o7777;
  if (d.fileMode !== undefined && d.fileMode !== mode)
    fail(`${at}.fileMode`, `left out, or as ${path} has it (${octal(mode)}), ${cure}`, octal(d.fileMode));
  for (const key of ['uid', 'gid'] as const) {
    const id = d[key];
    if (id !== undefined && toHostId(maps[key], id) !== there[key])
      fail(`${at}.${key}`, `left out, or the id inside of the owner of ${path} (${there[key]} outside), ${cure}`, id);
  }
}

/**
 * Looks at the host's devices that would be shown. FIFOs are made in any case.
 *
 * @throws InvalidArgumentError
 */
export function checkHostDevices({ devices = [], namespaces, idMaps }: SpawnOptions): void {
  if (devices.length === 0 || namespaces?.user !== 'new') return;
  const maps = idMaps ?? { uid: oneId(process.geteuid?.() ?? 0), gid: oneId(process.getegid?.() ?? 0) };
  for (const [i, d] of devices.entries()) if (d.type !== 'p') checkOne(d, `devices[${i}]`, maps);
}
