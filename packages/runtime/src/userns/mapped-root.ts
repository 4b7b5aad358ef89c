// A root whose layers are seen with mapped ids. It is mounted where the right to do so is, outside of the container's user
// namespace: in the monitor, detached. So the layers' marks are root's own, trusted.overlay.*, as they were unpacked.
import { UnsupportedError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { named, type Step, slot } from '@ctr/internal/steps';
import { type IdMaps, idMappedMount, toHostId } from '@ctr/namespaces';
import { type DescribedRoot, describeOverlay, type OverlayOptions } from '@ctr/overlayfs';
import { atLeast } from '../session/host-facts.js';

const AT_EMPTY_PATH = named(0x1000, 'AT_EMPTY_PATH');
/** Mounts of layers, for each user namespace that they are mapped by: most containers have a root that another one had. */
const mapped = new WeakMap<Fd, Map<string, Promise<Fd>>>();

/** This process's path to a layer with mapped ids; made once for each range. */
async function mappedLayer(layer: string, userns: Fd): Promise<string> {
  const known = mapped.get(userns) ?? new Map<string, Promise<Fd>>();
  mapped.set(userns, known);
  let mount = known.get(layer);
  if (mount === undefined || (await mount.catch(() => undefined))?.closed !== false) {
    mount = idMappedMount(layer, userns, { readOnly: true });
    known.set(layer, mount);
    mount.catch(() => known.delete(layer));
  }
  return `/proc/${process.pid}/fd/${(await mount).fd}`;
}

/** The mounts of this range's layers are let go with it. */
export function forgetMappedLayers(userns: Fd): void {
  for (const mount of mapped.get(userns)?.values() ?? []) void mount.then((fd) => fd.close()).catch(() => {});
  mapped.delete(userns);
}

/** @throws UnsupportedError before Linux 6.15, where overlayfs takes no layer that is attached to nothing. */
export async function mapLayers(layers: readonly string[], userns: Fd): Promise<string[]> {
  if (!atLeast([6, 15]))
    throw new UnsupportedError('a user namespace for a privileged user', 'Linux 6.15, for layers with mapped ids', undefined, {
      hint: "give userns: 'host'",
    });
  return Promise.all(layers.map((layer) => mappedLayer(layer, userns)));
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
  const overlay = describeOverlay(options);
  const [uid, gid] = [toHostId(idMaps.uid, 0) ?? 0, toHostId(idMaps.gid, 0) ?? 0];
  const own: Step = {
    call: 'fchownat',
    args: [slot(overlay.slot), '', uid, gid, AT_EMPTY_PATH],
    doing: 'give the root to the container’s root',
  };
  return { root: { ...overlay, steps: [] }, prepare: [...detachedSteps(overlay), own] };
}
