// The user namespace of one container, with everything that is to be shown by its maps.
import { type CtrError, errnoNumber } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { idMappedMount } from '@ctr/namespaces';
import type { HostFacts } from '../oci/host-facts.js';
import type { RunSpec } from '../options/run-schema.js';
import type { PreparedRoot } from '../prepare-root.js';
import type { ResolvedUser } from '../user/resolve-user.js';
import { type ContainerIds, prepareIds } from './container-ids.js';
import { reasonForHost } from './default-userns.js';
import { mapLayers } from './mapped-root.js';

export interface PreparedUserns {
  /** With `userns` said, whether or not the caller did. */
  readonly spec: RunSpec;
  readonly ids: (ContainerIds & { readonly layers: readonly string[] | undefined }) | undefined;
}

/** EINVAL: a file system that cannot show other owners. The others: no rights, no place for the locks, no more namespaces. */
const CANNOT = ['EINVAL', 'EOPNOTSUPP', 'EPERM', 'EROFS', 'ENOSPC'].map((name) => -errnoNumber(name));
/** No range is left. */
const cannot = ({ code, errno }: CtrError & { errno?: number }): boolean =>
  code === 'CTR_UNSUPPORTED' || (errno !== undefined && CANNOT.includes(errno));

/** Roots that were tried. */
const unmappable = new WeakSet<PreparedRoot>();
/** Folders of binds that were tried, as a path with what lies below it or without. */
const mappable = new Map<string, boolean>();
const MOST_PATHS = 1000;

async function tryToMap(source: string, recursive: boolean, userns: Fd): Promise<boolean> {
  const key = `${recursive ? 'r' : ''}${source}`;
  const known = mappable.get(key);
  if (known !== undefined) return known;
  let able = true;
  try {
    (await idMappedMount(source, userns, { recursive })).close();
  } catch (error) {
    // What is not there, say, is told by the start itself, and may be there at the next one.
    if (!cannot(error as CtrError)) return true;
    able = false;
  }
  if (mappable.size >= MOST_PATHS) mappable.clear();
  mappable.set(key, able);
  return able;
}

async function allMappable(spec: RunSpec, userns: Fd): Promise<boolean> {
  const binds = (spec.mounts ?? []).filter((m) => m.type === 'bind');
  const able = await Promise.all(binds.map((m) => tryToMap(m.source, m.recursive !== false, userns)));
  return able.every(Boolean);
}

async function prepare(spec: RunSpec, root: PreparedRoot, host: HostFacts, user: ResolvedUser): Promise<PreparedUserns['ids']> {
  const ids = await prepareIds(spec, host, user);
  if (ids === undefined) return undefined;
  try {
    return { ...ids, layers: ids.mounts === undefined ? undefined : await mapLayers(root.layers, ids.mounts) };
  } catch (error) {
    await ids.release();
    throw error;
  }
}

/** A user namespace of its own though nobody asked for it; undefined where this root or these folders cannot be shown in one. */
async function prepareDefault(spec: RunSpec, root: PreparedRoot, host: HostFacts, user: ResolvedUser): Promise<PreparedUserns | undefined> {
  if (unmappable.has(root)) return undefined;
  try {
    const ids = await prepare(spec, root, host, user);
    if (ids?.mounts === undefined || (await allMappable(spec, ids.mounts))) return { spec, ids };
    await ids.release();
  } catch (error) {
    if (!cannot(error as CtrError)) throw error;
    unmappable.add(root);
  }
  return undefined;
}

/**
 * Where root left `userns` out, a container gets a user namespace of its own if all that it shows can be shown in one.
 *
 * @throws {UnsupportedError} for a user namespace that was asked for and cannot be had.
 */
export async function prepareUserns(spec: RunSpec, root: PreparedRoot, host: HostFacts, user: ResolvedUser): Promise<PreparedUserns> {
  const said = spec.userns !== undefined || spec.namespaces?.get('user') !== undefined;
  if (said || !host.privileged) return { spec, ids: await prepare(spec, root, host, user) };
  const shared: PreparedUserns = { spec: { ...spec, userns: 'host' }, ids: undefined };
  if (reasonForHost(spec, host, user) !== undefined) return shared;
  return (await prepareDefault({ ...spec, userns: 'auto' }, root, host, user)) ?? shared;
}
