// A root whose layers are seen with mapped ids. It is mounted where the right to do so is, outside of the container's user
// namespace: in the monitor, detached. So the layers' marks are root's own, trusted.overlay.*, as they were unpacked.
import { stat } from 'node:fs/promises';
import { UnsupportedError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { named, type Step, slot } from '@ctr/internal/steps';
import { type IdMaps, idMappedMount, toHostId } from '@ctr/namespaces';
import { type DescribedRoot, describeOverlay, type OverlayOptions } from '@ctr/overlayfs';
import { atLeast } from '../session/host-facts.js';

const AT_EMPTY_PATH = named(0x1000, 'AT_EMPTY_PATH');
/** A layer's mount, and which folder it was made of. */
interface MappedLayer {
  readonly of: string;
  readonly mount: Promise<Fd>;
}

/** By path; the first root's stay the longest, since most containers have a root that another one had. */
interface MappedLayers {
  readonly mounts: Map<string, MappedLayer>;
  readonly first: ReadonlySet<string>;
}
const mapped = new WeakMap<Fd, MappedLayers>();

/** A folder may be made anew under the same name. */
async function identityOf(layer: string): Promise<string> {
  const { dev, ino } = await stat(layer, { bigint: true });
  return `${dev}:${ino}`;
}

const close = ({ mount }: MappedLayer): void => void mount.then((fd) => fd.close()).catch(() => {});

/** This process's path to a layer with mapped ids; made once for each range. */
async function mappedLayer(layer: string, userns: Fd, { mounts }: MappedLayers): Promise<string> {
  const of = await identityOf(layer);
  const known = mounts.get(layer);
  if (known?.of === of && !(await known.mount).closed) return pathOf(await known.mount);
  if (known !== undefined) close(known);
  const made: MappedLayer = { of, mount: idMappedMount(layer, userns, { readOnly: true }) };
  mounts.set(layer, made);
  made.mount.catch(() => mounts.delete(layer));
  return pathOf(await made.mount);
}

const pathOf = (mount: Fd): string => `/proc/${process.pid}/fd/${mount.fd}`;

/** The mounts of this range's layers are let go with it. */
export function forgetMappedLayers(userns: Fd): void {
  for (const layer of mapped.get(userns)?.mounts.values() ?? []) close(layer);
  mapped.delete(userns);
}

/** While no container uses this range: all but those of the first root. */
export function trimMappedLayers(userns: Fd): void {
  const layers = mapped.get(userns);
  for (const [path, layer] of layers?.mounts ?? []) {
    if (layers?.first.has(path)) continue;
    close(layer);
    layers?.mounts.delete(path);
  }
}

/** @throws UnsupportedError before Linux 6.15, where overlayfs takes no layer that is attached to nothing. */
export async function mapLayers(layers: readonly string[], userns: Fd): Promise<string[]> {
  if (!atLeast([6, 15]))
    throw new UnsupportedError('a user namespace for a privileged user', 'Linux 6.15, for layers with mapped ids', undefined, {
      hint: "give userns: 'host'",
    });
  const all = mapped.get(userns) ?? { mounts: new Map(), first: new Set(layers) };
  mapped.set(userns, all);
  return Promise.all(layers.map((layer) => mappedLayer(layer, userns, all)));
}

/** Strictly the detached form: what follows it would mount in the monitor's own namespace, which is the host's. */
function detachedSteps({ steps, slot: result }: DescribedRoot): Step[] {
  const end = steps.findIndex((s) => s.call === 'fsmount' && s.into === result);
  const detached = steps.slice(0, end + 1).map(({ skipOnSuccess, skipOnAllowed, ...step }): Step => {
    // EEXIST of a folder is still none; what turned to the older form is a failure here.
    const { allow, ...bare } = step;
    return allow?.includes('EEXIST') ? { ...bare, allow, ...(skipOnAllowed ? { skipOnAllowed } : {}) } : bare;
  });
  if (end < 0 || detached.some((s) => s.call === 'mount' || s.call === 'umount2' || s.call === 'move_mount'))
    throw new UnsupportedError('a user namespace for a privileged user', 'an overlay that is made detached');
  return detached;
}

/** The overlay as steps for the monitor; its / belongs to the container's root. */
export function mappedRoot(options: OverlayOptions, idMaps: IdMaps): { root: DescribedRoot; prepare: Step[] } {
  const { prepare: ahead = [], ...overlay } = describeOverlay(options);
  const [uid, gid] = [toHostId(idMaps.uid, 0) ?? 0, toHostId(idMaps.gid, 0) ?? 0];
  const own: Step = {
    call: 'fchownat',
    args: [slot(overlay.slot), '', uid, gid, AT_EMPTY_PATH],
    doing: 'give the root to the container’s root',
  };
  return { root: { ...overlay, steps: [] }, prepare: [...ahead, ...detachedSteps(overlay), own] };
}
