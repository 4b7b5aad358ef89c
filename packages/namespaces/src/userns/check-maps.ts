// The option `idMaps`, checked before anything is touched.
import { checkKeys, fail, integer, object } from '../spawn/check-values.js';
import { type IdMap, type IdMaps, mapsId, overlappingMaps } from './id-map.js';

const MAX_ID = 0xfffffffe;
/** user_namespaces(7): since Linux 4.15. */
const MAX_LINES = 340;

/** The id with which the process starts inside: 0 where the map has it, since then all that is mounted is root's. */
export const startingId = (maps: readonly IdMap[], wanted: number | undefined): number =>
  mapsId(maps, 0) ? 0 : (wanted ?? maps[0]?.containerId ?? 0);

function checkLines(maps: readonly IdMap[], path: string): void {
  if (!Array.isArray(maps) || maps.length === 0 || maps.length > MAX_LINES)
    fail(path, `a non-empty array of at most ${MAX_LINES} id maps`, maps);
  maps.forEach((m, i) => {
    object(m, `${path}[${i}]`);
    checkKeys(m, ['containerId', 'hostId', 'size'], `${path}[${i}]`);
    integer(m.containerId, `${path}[${i}].containerId`, 0, MAX_ID);
    integer(m.hostId, `${path}[${i}].hostId`, 0, MAX_ID);
    integer(m.size, `${path}[${i}].size`, 1, MAX_ID);
    if (Math.max(m.containerId, m.hostId) + m.size - 1 > MAX_ID) fail(`${path}[${i}].size`, `so that no id is above ${MAX_ID}`, m.size);
  });
  const overlap = overlappingMaps(maps);
  if (overlap) fail(path, 'lines that do not overlap, inside or outside', overlap);
}

/** @param uid, gid With which the program is to run; undefined: it is not said. @throws InvalidArgumentError */
export function checkIdMaps(maps: IdMaps, uid: number | undefined, gid: number | undefined): void {
  object(maps, 'idMaps');
  checkKeys(maps, ['uid', 'gid', 'setgroups'], 'idMaps');
  for (const [key, id] of [
    ['uid', uid],
    ['gid', gid],
  ] as const) {
    checkLines(maps[key], `idMaps.${key}`);
    if (id !== undefined && !mapsId(maps[key], id))
      fail(`idMaps.${key}`, `a map that contains id ${id}, with which the process starts inside`, maps[key]);
  }
  if (maps.setgroups !== undefined && maps.setgroups !== 'allow' && maps.setgroups !== 'deny')
    fail('idMaps.setgroups', "'allow' or 'deny'", maps.setgroups);
}
