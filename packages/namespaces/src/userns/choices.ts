// The usual maps: this user alone, all that it may have, or itself under its own number.
import { UnsupportedError } from '@ctr/internal/errors';
import { type IdMap, type IdMaps, type IdRange, oneId, stackRanges } from './id-map.js';
import { readSubIds, type SubIds } from './subids.js';

const euid = (): number => process.geteuid?.() ?? 0;
const egid = (): number => process.getegid?.() ?? 0;

/**
 * This user's own id alone, as `inside` (default 0:0): the one map that needs no privilege and no ranges.
 *
 * @example
 * ```ts
 * await spawn({ args: ['id', '-u'], namespaces: { user: 'new' }, idMaps: ownIdMaps({ uid: 1000, gid: 1000 }), user: { uid: 1000, gid: 1000 } })
 * ```
 */
export const ownIdMaps = (inside: { uid?: number; gid?: number } = {}): IdMaps => ({
  uid: oneId(euid(), inside.uid),
  gid: oneId(egid(), inside.gid),
});

function rangesOf(subids: SubIds): { uid: readonly IdRange[]; gid: readonly IdRange[] } {
  if (subids.missing === undefined) return subids;
  throw new UnsupportedError('mapping ids beside this user’s own', 'ranges in /etc/subuid and /etc/subgid', subids.missing.why, {
    hint: subids.missing.cure,
  });
}

/**
 * This user as root inside, and its ranges as the ids from 1 on: what rootless container engines do.
 *
 * @throws UnsupportedError CTR_UNSUPPORTED when /etc/subuid or /etc/subgid has nothing for this user, or newuidmap(1) is missing.
 */
export function rangeIdMaps(subids: SubIds = readSubIds()): IdMaps {
  const { uid, gid } = rangesOf(subids);
  return { uid: [...oneId(euid()), ...stackRanges(uid, 1)], gid: [...oneId(egid()), ...stackRanges(gid, 1)] };
}

/** The ranges fill the ids around the kept one: below it first, then above. */
function around(id: number, ranges: readonly IdRange[]): IdMap[] {
  const maps: IdMap[] = [];
  let inside = 0;
  for (const { start, size } of ranges)
    for (let done = 0; done < size; ) {
      if (inside === id) inside++;
      const part = inside < id ? Math.min(size - done, id - inside) : size - done;
      maps.push({ containerId: inside, hostId: start + done, size: part });
      inside += part;
      done += part;
    }
  return [...maps, { containerId: id, hostId: id, size: 1 }];
}

/**
 * This user under its own number inside, and its ranges as all other ids, 0 among them: files that it shares with the
 * container have the same owner on both sides. `podman run --userns=keep-id`.
 *
 * @throws UnsupportedError CTR_UNSUPPORTED when /etc/subuid or /etc/subgid has nothing for this user, or newuidmap(1) is missing.
 */
export function keepIdMaps(subids: SubIds = readSubIds()): IdMaps {
  const { uid, gid } = rangesOf(subids);
  return { uid: around(euid(), uid), gid: around(egid(), gid) };
}
