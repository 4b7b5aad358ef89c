// Which ids a container gets when it has a user namespace of its own: this user's alone, its ranges, or a range that is
// claimed for the container.
import { UnsupportedError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { claimIds, createUserNamespace, type IdMaps, keepIdMaps, monitorPid, ownIdMaps, rangeIdMaps, type SubIds } from '@ctr/namespaces';
import type { HostFacts } from '../oci/host-facts.js';
import type { RunSpec } from '../options/run-schema.js';
import { atLeast } from '../session/host-facts.js';
import type { ResolvedUser } from '../user/resolve-user.js';
import { RANGE } from './default-userns.js';
import { forgetMappedLayers, trimMappedLayers } from './mapped-root.js';

/** What stands behind `userns` for one container. */
export interface ContainerIds {
  readonly idMaps: IdMaps;
  /** A user namespace with these maps, for mounts with mapped ids; only for those who may make such mounts. */
  readonly mounts: Fd | undefined;
  /** Gives them back; a failure keeps them from others, and ends with this process. */
  release(): Promise<void>;
}

type Wanted = 'host' | 'own' | 'ranges' | 'keep-id' | 'claimed' | IdMaps;

/** Whether anything but root is wanted inside, which one id cannot be. */
const needsMore = (user: ResolvedUser): boolean => user.uid !== 0 || user.gid !== 0;

/** What the options and the host make of it; nothing is claimed yet. As root, options have said `userns` by now: prepareUserns(). */
export function wantedIds(spec: RunSpec, host: HostFacts, user: ResolvedUser): Wanted {
  const place = spec.namespaces?.get('user');
  const { userns } = spec;
  if (typeof userns === 'object') return { uid: userns.uidMap, gid: userns.gidMap };
  if (place !== undefined && place !== 'new') return 'host';
  if (userns === 'host') return 'host';
  if (host.privileged) {
    if (userns === 'keep-id') throw new UnsupportedError('userns "keep-id" for a privileged user', 'an ordinary user whose id is kept');
    return userns === 'auto' || place === 'new' ? 'claimed' : 'host';
  }
  if (userns === 'keep-id') return 'keep-id';
  if (userns === 'auto') return host.subIds?.missing === undefined && host.subIds !== undefined ? 'ranges' : 'own';
  return needsMore(user) ? 'ranges' : 'own';
}

/** @throws UnsupportedError with what an administrator does about it. */
function ranges(make: (subids: SubIds) => IdMaps, host: HostFacts, user: ResolvedUser): IdMaps {
  const { subIds } = host;
  if (subIds !== undefined && subIds.missing === undefined) return make(subIds);
  throw new UnsupportedError(
    `user ${user.uid}:${user.gid} without root`,
    'a range of ids in /etc/subuid and /etc/subgid',
    subIds?.missing?.why,
    {
      hint: `${subIds?.missing?.cure ?? 'an administrator adds one'}; or give user: '0', which is this user's own id, outside`,
    },
  );
}

/** The maps that are known without claiming anything. */
export function knownIdMaps(wanted: Exclude<Wanted, 'host' | 'claimed'>, host: HostFacts, user: ResolvedUser): IdMaps {
  if (typeof wanted === 'object') return wanted;
  if (wanted === 'own') return ownIdMaps();
  return ranges(wanted === 'keep-id' ? keepIdMaps : rangeIdMaps, host, user);
}

/** True for what a template of many starts cannot hold: mounts with these maps are made for one container. */
export const isOfOneContainer = (wanted: Wanted, host: HostFacts): boolean => typeof wanted === 'object' && host.privileged;

interface Claim {
  readonly idMaps: IdMaps;
  readonly mounts: Fd;
  /** It holds the claim: with another one it is gone. */
  readonly monitor: number | undefined;
  readonly serial: number;
  end(): Promise<void>;
}

/** Ranges whose container has ended, with what was made for them: the next container takes one of these. */
const free: Claim[] = [];
const MOST_FREE = 16;
let claims = 0;

async function claim(): Promise<Claim> {
  const claimed = await claimIds({ size: RANGE });
  try {
    const mounts = await createUserNamespace(claimed.idMaps);
    return {
      idMaps: claimed.idMaps,
      mounts,
      monitor: monitorPid(),
      serial: claims++,
      async end() {
        forgetMappedLayers(mounts);
        mounts.close();
        await claimed.release();
      },
    };
  } catch (error) {
    await claimed.release();
    throw error;
  }
}

async function takeClaim(): Promise<Claim> {
  for (let known = free.pop(); known !== undefined; known = free.pop()) {
    if (known.monitor === monitorPid()) return known;
    await known.end();
  }
  return claim();
}

/** When no container has ended for so long, all but one are given back. */
const IDLE_MS = 500;
let idle: NodeJS.Timeout | undefined;

/** Those stay that were made first: what is mounted for them is of the roots that come again and again. */
async function giveBackBut(most: number): Promise<void> {
  free.sort((a, b) => a.serial - b.serial);
  await Promise.all(free.splice(most).map((claim) => claim.end()));
}

function giveBackIdle(): void {
  idle = undefined;
  for (const claim of free) trimMappedLayers(claim.mounts);
  // A failure keeps a range from others, and ends with this process.
  giveBackBut(1).catch(() => {});
}

/** Kept for the next one: the claim ends with this process in any case. */
async function giveClaim(given: Claim): Promise<void> {
  free.push(given);
  if (idle === undefined) idle = setTimeout(giveBackIdle, IDLE_MS).unref();
  else idle.refresh();
  if (free.length > MOST_FREE) await giveBackBut(MOST_FREE);
}

/** Given back once, however many ways there lead. */
function once(ids: ContainerIds): ContainerIds {
  let given: Promise<void> | undefined;
  return {
    ...ids,
    release() {
      given ??= ids.release();
      return given;
    },
  };
}

/** Undefined for a container that needs nothing made: without a user namespace of its own, or with this user's id alone. */
export async function prepareIds(spec: RunSpec, host: HostFacts, user: ResolvedUser): Promise<ContainerIds | undefined> {
  const made = await makeIds(spec, host, user);
  return made && once(made);
}

async function makeIds(spec: RunSpec, host: HostFacts, user: ResolvedUser): Promise<ContainerIds | undefined> {
  const wanted = wantedIds(spec, host, user);
  if (wanted === 'host' || wanted === 'own') return undefined;
  if (wanted === 'claimed') {
    const taken = await takeClaim();
    return { ...taken, release: () => giveClaim(taken) };
  }
  const idMaps = knownIdMaps(wanted, host, user);
  // An older kernel shows the layers as they are: the caller has made them for these ids.
  if (!host.privileged || !atLeast([6, 15])) return { idMaps, mounts: undefined, release: async () => {} };
  const mounts = await createUserNamespace(idMaps);
  return {
    idMaps,
    mounts,
    async release() {
      forgetMappedLayers(mounts);
      mounts.close();
    },
  };
}
