// OCI's mounts with maps of ids of their own: `uidMappings` and `gidMappings` of a mount, 'idmap' and 'ridmap' among its options.
// <https://github.com/opencontainers/runtime-spec/blob/main/config.md#mounts>
import { InvalidArgumentError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { createUserNamespace, type IdMap, type Mount } from '@ctr/namespaces';
import type { CleanupStack } from '../cleanup-stack.js';
import { toLauncherMount } from './mounts.js';
import type { OciIdMap, OciMount } from './types.js';

/** For each mount with maps of its own the user namespace that has them. */
export type MountMaps = ReadonlyMap<OciMount, Fd>;

const toMaps = (maps: readonly OciIdMap[]): IdMap[] => maps.map((m) => ({ containerId: m.containerID, hostId: m.hostID, size: m.size }));

const wordOf = ({ options = [] }: OciMount): string | undefined => options.findLast((o) => o === 'idmap' || o === 'ridmap');

/** Both kinds, or undefined for none. */
function mapsOf(mount: OciMount): { uid: IdMap[]; gid: IdMap[] } | undefined {
  const { uidMappings: uid, gidMappings: gid, destination } = mount;
  if (uid === undefined && gid === undefined) return undefined;
  const missing = uid === undefined ? 'uidMappings' : 'gidMappings';
  if (uid === undefined || gid === undefined)
    throw new InvalidArgumentError(`mounts[${destination}].${missing}`, 'given too, since one kind of ids is mapped', undefined);
  if (toLauncherMount(mount).type !== 'bind')
    throw new InvalidArgumentError(`mounts[${destination}].uidMappings`, 'given for a bind mount only', mount.type);
  return { uid: toMaps(uid), gid: toMaps(gid) };
}

/** Makes the user namespaces of the mounts; they are closed by `undo`, once the mounts are made. */
export async function makeMountMaps(mounts: readonly OciMount[], undo: CleanupStack): Promise<MountMaps> {
  const made = new Map<OciMount, Fd>();
  await Promise.all(
    mounts.map(async (mount) => {
      const maps = mapsOf(mount);
      if (maps === undefined) return;
      const namespace = await createUserNamespace(maps);
      undo.defer(() => namespace.close());
      made.set(mount, namespace);
    }),
  );
  return made;
}

/** The host's sysfs stands in where the network is not the container's own. Its files have no owners that could be mapped (EINVAL). */
const hasNoOwners = ({ source }: OciMount): boolean => source === '/sys';

/** A mount as the launcher takes it: with maps of its own, or those of the container's user namespace where binds have them. */
export function mappedMount(mount: OciMount, ofContainer: Fd | undefined, own: MountMaps | undefined): Mount {
  const m = toLauncherMount(mount);
  if (m.type !== 'bind') return m;
  const word = wordOf(mount);
  const maps = mapsOf(mount);
  // The specification's default: the mount alone.
  const options = maps !== undefined && word === undefined ? [...(m.options ?? []), 'idmap'] : m.options;
  const idMap = own?.get(mount) ?? (maps === undefined && !hasNoOwners(mount) ? ofContainer : undefined);
  if (word !== undefined && maps === undefined && ofContainer === undefined)
    throw new InvalidArgumentError(
      `mounts[${mount.destination}].options`,
      `without ${JSON.stringify(word)}, or with uidMappings and gidMappings: the container's own user namespace maps no binds`,
      word,
    );
  return { ...m, ...(options === undefined ? {} : { options }), ...(idMap === undefined ? {} : { idMap }) };
}
