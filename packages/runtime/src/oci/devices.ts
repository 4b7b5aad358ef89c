// The host's devices that a container is given by the option `devices`: looked at once for each start, since the number of a
// device may change when it is plugged in again.
import { readdirSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path/posix';
import { InvalidArgumentError } from '@ctr/internal/errors';
import type { Device } from '@ctr/namespaces';
import type { RunSpec } from '../options/run-schema.js';
import type { OciDeviceRule } from './types.js';

type Wish = NonNullable<RunSpec['devices']>[number];

/** One device of the host as it is to be inside. */
export interface HostDevice {
  readonly device: Device;
  /** Its path on the host. */
  readonly source: string;
  /** Letters of rwm. */
  readonly access: string;
}

const isDevice = (s: Stats): boolean => s.isCharacterDevice() || s.isBlockDevice();

/** new_decode_dev in the kernel's kdev_t.h. */
const numbers = (rdev: number) => ({ major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) });

function hostDevice(source: string, target: string, access: string, s: Stats): HostDevice {
  const type = s.isBlockDevice() ? 'b' : 'c';
  return { device: { path: target, type, ...numbers(s.rdev), fileMode: s.mode & 0o7777, uid: s.uid, gid: s.gid }, source, access };
}

/** A folder such as /dev/snd is all devices in it, as in Docker. */
function inFolder({ source, target, access }: { source: string; target: string; access: string }): HostDevice[] {
  return readdirSync(source, { withFileTypes: true }).flatMap((entry): HostDevice[] => {
    const [from, to] = [join(source, entry.name), join(target, entry.name)];
    if (entry.isDirectory()) return inFolder({ source: from, target: to, access });
    const s = statSync(from, { throwIfNoEntry: false });
    return s !== undefined && isDevice(s) ? [hostDevice(from, to, access, s)] : [];
  });
}

/** @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for what is no device of this host. */
export function hostDevices(wishes: readonly Wish[] = []): HostDevice[] {
  return wishes.flatMap(({ source, target = source, access = 'rwm' }, i) => {
    const s = statSync(source, { throwIfNoEntry: false });
    const found = s?.isDirectory() ? inFolder({ source, target, access }) : s && isDevice(s) ? [hostDevice(source, target, access, s)] : [];
    if (found.length === 0) throw new InvalidArgumentError(`devices[${i}]`, 'a device of this host, or a folder with devices', source);
    return found;
  });
}

/** A user namespace shows the host's device as it is: nothing is said of its mode and owner. */
export const ociDevices = (devices: readonly HostDevice[], shown: boolean): Device[] =>
  devices.map(({ device: { fileMode, uid, gid, ...device } }) => (shown ? device : ({ ...device, fileMode, uid, gid } as Device)));

export const ruleOf = ({ device: { type, major, minor }, access }: HostDevice): OciDeviceRule =>
  ({ allow: true, type: type as 'b' | 'c', major, minor, access }) as OciDeviceRule;

/** Where each device of the OCI object is found on the host. */
export const sourcesOf = (devices: readonly HostDevice[]): ReadonlyMap<string, string> =>
  new Map(devices.map(({ device, source }) => [device.path, source]));
