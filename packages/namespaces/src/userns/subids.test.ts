// /etc/subuid and /etc/subgid, and the maps that are made of them.
import { describe, expect, it } from 'vitest';
import { keepIdMaps, rangeIdMaps } from './choices.js';
import { overlappingMaps } from './id-map.js';
import { parseSubIds, readSubIds, type SubIdSources } from './subids.js';

const host = (files: Record<string, string>, programs: string[]): SubIdSources => ({
  uid: 1000,
  name: 'ann',
  read: (path) => {
    const text = files[path];
    if (text === undefined) throw new Error('ENOENT');
    return text;
  },
  find: (program) => (programs.includes(program) ? `/usr/bin/${program}` : undefined),
});
const BOTH = ['newuidmap', 'newgidmap'];

describe('parseSubIds', () => {
  it('by name and by number, several ranges, and nobody else’s', () => {
    const text = 'ann:100000:65536\nbob:200000:65536\n1000:300000:10\n\n# a comment\nann:x:1\nann:1:0\nann:4294967295:2\nann:5\n';
    expect(parseSubIds(text, 'ann', 1000)).toEqual([
      { start: 100_000, size: 65_536 },
      { start: 300_000, size: 10 },
    ]);
    expect(parseSubIds(text, undefined, 7)).toEqual([]);
  });
});

describe('readSubIds', () => {
  it.each([
    ['nothing is there', {}, []],
    ['the programs are missing', { '/etc/subuid': 'ann:1:2', '/etc/subgid': 'ann:1:2' }, ['newuidmap']],
    ['no users', { '/etc/subgid': 'ann:1:2' }, BOTH],
    ['no groups', { '/etc/subuid': 'ann:1:2' }, BOTH],
    ['all is there', { '/etc/subuid': 'ann:1:2', '/etc/subgid': 'ann:1:2' }, BOTH],
  ])('%s', (_, files, programs) => {
    expect(readSubIds(host(files as Record<string, string>, programs)).missing).toMatchSnapshot();
  });
});

describe('maps of ranges', () => {
  const subids = readSubIds(host({ '/etc/subuid': 'ann:100000:1500\nann:300000:10', '/etc/subgid': 'ann:100000:65536' }, BOTH));
  const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];

  it('this user is root inside, the ranges are the ids from 1 on', () => {
    expect(rangeIdMaps(subids)).toEqual({
      uid: [
        { containerId: 0, hostId: uid, size: 1 },
        { containerId: 1, hostId: 100_000, size: 1500 },
        { containerId: 1501, hostId: 300_000, size: 10 },
      ],
      gid: [
        { containerId: 0, hostId: gid, size: 1 },
        { containerId: 1, hostId: 100_000, size: 65_536 },
      ],
    });
  });

  it('keep-id: this user is itself, the ranges are all others', () => {
    const maps = keepIdMaps(subids);
    expect(maps.uid).toContainEqual({ containerId: uid, hostId: uid, size: 1 });
    expect(overlappingMaps(maps.uid)).toBeUndefined();
    expect(overlappingMaps(maps.gid)).toBeUndefined();
    const total = maps.uid.reduce((n, m) => n + m.size, 0);
    expect(total).toBe(1511);
    // No hole: a user with a small number is there too.
    const inside = maps.uid.flatMap((m) => Array.from({ length: m.size }, (_, i) => m.containerId + i)).sort((a, b) => a - b);
    if (uid < 1511) expect(inside).toEqual(Array.from({ length: 1511 }, (_, i) => i));
  });
});
