// Maps between the ids inside and outside of a user namespace <https://man7.org/linux/man-pages/man7/user_namespaces.7.html>.
import { InvalidArgumentError } from '@ctr/internal/errors';

/** One line of a user namespace's map: `size` ids from `containerId` inside are those from `hostId` outside. */
export interface IdMap {
  containerId: number;
  hostId: number;
  size: number;
}

/** The maps of users and of groups. */
export interface IdMaps {
  uid: readonly IdMap[];
  gid: readonly IdMap[];
  /**
   * 'deny' forbids setgroups(2) inside for ever, so that nobody there can leave a group that is denied something. Default:
   * 'deny' only where the kernel wants it, for a user without ranges.
   */
  setgroups?: 'allow' | 'deny';
}

/** `size` ids from `start` on. */
export interface IdRange {
  start: number;
  size: number;
}

/** As /proc/<pid>/uid_map takes it. */
export const formatIdMaps = (maps: readonly IdMap[]): string => maps.map((m) => `${m.containerId} ${m.hostId} ${m.size}\n`).join('');

/** /proc/<pid>/uid_map or gid_map. */
export function parseIdMaps(text: string): IdMap[] {
  const lines = text.split('\n').filter((l) => l.trim() !== '');
  return lines.map((line) => {
    const [containerId, hostId, size] = line.trim().split(/\s+/).map(Number) as [number, number, number];
    return { containerId, hostId, size };
  });
}

export const mapsId = (maps: readonly IdMap[], id: number): boolean => maps.some((m) => m.containerId <= id && id < m.containerId + m.size);

/**
 * The id outside of an id inside.
 *
 * @returns Undefined when the map has no such id.
 */
export function toHostId(maps: readonly IdMap[], id: number): number | undefined {
  const m = maps.find((x) => x.containerId <= id && id < x.containerId + x.size);
  return m && m.hostId + (id - m.containerId);
}

/** Two lines whose ids overlap, inside or outside: the kernel takes no such map (EINVAL). */
export function overlappingMaps(maps: readonly IdMap[]): [IdMap, IdMap] | undefined {
  for (const side of ['containerId', 'hostId'] as const) {
    const sorted = [...maps].sort((a, b) => a[side] - b[side]);
    for (let i = 1; i < sorted.length; i++) {
      const [before, after] = [sorted[i - 1] as IdMap, sorted[i] as IdMap];
      if (before[side] + before.size > after[side]) return [before, after];
    }
  }
  return undefined;
}

/** The ranges one after the other, from `containerId` on. */
export function stackRanges(ranges: readonly IdRange[], containerId = 0): IdMap[] {
  let at = containerId;
  return ranges.map(({ start, size }) => {
    const map = { containerId: at, hostId: start, size };
    at += size;
    return map;
  });
}

/**
 * The same map as seen from inside `around`: each line's outer ids become those that `around` gives them. A line of the
 * result lies within one line of `around`, since the kernel takes no other.
 *
 * @throws InvalidArgumentError for ids that `around` does not have.
 */
export function nestIdMaps(maps: readonly IdMap[], around: readonly IdMap[], path: string): IdMap[] {
  return maps.flatMap((m) => {
    const parts: IdMap[] = [];
    for (let done = 0; done < m.size; ) {
      const hostId = m.hostId + done;
      const outer = around.find((a) => a.hostId <= hostId && hostId < a.hostId + a.size);
      if (outer === undefined)
        throw new InvalidArgumentError(
          path,
          `ids that this user may map: ${around.map((a) => (a.size === 1 ? `${a.hostId}` : `${a.hostId} to ${a.hostId + a.size - 1}`)).join(', ')}`,
          hostId,
          { hint: 'an ordinary user may map its own id, and the ranges that /etc/subuid and /etc/subgid give it' },
        );
      const size = Math.min(m.size - done, outer.hostId + outer.size - hostId);
      parts.push({ containerId: m.containerId + done, hostId: outer.containerId + (hostId - outer.hostId), size });
      done += size;
    }
    return parts;
  });
}

/** Map of a namespace made inside another that has the same ids: each id is itself. */
export const identityMaps = (maps: readonly IdMap[]): IdMap[] =>
  maps.map(({ containerId, size }) => ({ containerId, hostId: containerId, size }));

/** This user's own id alone, the only map that needs no privilege. `containerId` defaults to 0. */
export const oneId = (hostId: number, containerId = 0): IdMap[] => [{ containerId, hostId, size: 1 }];
