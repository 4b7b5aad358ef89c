// The steps of an overlay run where a container is made: in a user namespace as an ordinary user and in root's own mount
// namespace; in the form of this kernel and in that of older ones.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Action } from './harness.js';
import { byDescriptor, replacesInMemory } from './needs.js';
import { LOWER, UPPER } from './overlay-layers.js';
import { harness, openTempDir, type PLACES } from './run-harness.js';
import { archive, dir, file, header, pax, symlink } from './tar-builder.js';

const VIEW: Action[] = [
  ['readdirSync', ''],
  ['readdirSync', 'o'],
  ['readdirSync', 'r'],
  ['readFileSync', 'f'],
  ['mode', ''],
];
const SEEN = [['d', 'f', 'o', 'r'], ['upper'], ['new'], 'upper', '755'];
const WRITES: Action[] = [
  ['writeFileSync', 'f', 'mine'],
  ['readFileSync', 'f'],
  ['unlinkSync', 'd/lower'],
  ['readdirSync', 'd'],
  ['writeFileSync', 'gone', 'back'],
];
const WRITTEN = ['done', 'mine', 'done', ['upper'], 'done'];
/** A new directory in place of a removed one: the upper must mark it, which takes an attribute. */
const REPLACES: Action[] = [
  ['unlinkSync', 'r/new'],
  ['rmdirSync', 'r'],
  ['mkdirSync', 'r'],
  ['readdirSync', 'r'],
];
const REPLACED = ['done', 'done', 'done', []];

const places: [keyof typeof PLACES, ReturnType<typeof need>][] = [
  ['userns', need('userns', 'overlay-in-userns')],
  ['root', need('root', 'overlay')],
];
for (const [place, needed] of places)
  describe.skipIf(!needed.ok)(needed.title(`an overlay described as steps, run in the place "${place}"`), () => {
    const userxattr = place === 'userns';
    let lower: string[];
    beforeAll(async () => {
      lower = await Promise.all(
        [UPPER, LOWER].map(async (bytes) => {
          const work = openTempDir('layer');
          writeFileSync(path.join(work, 'a.tar'), bytes);
          const directory = path.join(work, 'fs');
          const { error } = await harness(place === 'userns' ? 'user' : 'root', {
            op: 'extract',
            tar: path.join(work, 'a.tar'),
            directory,
            userxattr,
          });
          expect(error).toBeUndefined();
          return directory;
        }),
      );
    });

    for (const form of ['steps', 'fallback'] as const) {
      it(`works with a memory upper (${form})`, async () => {
        const { value, error } = await harness(place, {
          op: 'overlay',
          form,
          options: { lower, userxattr, size: 2 ** 20 },
          actions: [...VIEW, ...WRITES],
        });
        expect(error).toBeUndefined();
        expect(value).toMatchObject({ results: [...SEEN, ...WRITTEN], mountsChanged: 0 });
      });

      const replaces = userxattr ? replacesInMemory : needed;
      it.skipIf(!replaces.ok)(replaces.title(`replaces a directory in a memory upper (${form})`), async () => {
        const { value } = await harness(place, { op: 'overlay', form, options: { lower, userxattr }, actions: REPLACES });
        expect(value.results).toEqual(REPLACED);
      });

      it.each([false, true])(`works with a disk upper, volatile %s (${form})`, async (volatile) => {
        const directory = openTempDir('upper');
        const { value, error } = await harness(place, {
          op: 'overlay',
          form,
          options: { lower, userxattr, volatile, upper: { directory } },
          actions: [...VIEW, ...WRITES, ...REPLACES],
        });
        expect(error).toBeUndefined();
        expect(value).toMatchObject({ results: [...SEEN, ...WRITTEN, ...REPLACED], mountsChanged: 0 });
        await harness(place, { op: 'remove', directory: path.join(directory, 'work') });
        expect(readdirSync(directory)).toEqual(['upper']);
      });

      it.each([1, 2])(`works read-only with %s layer(s) (${form})`, async (count) => {
        const { value } = await harness(place, {
          op: 'overlay',
          form,
          options: { lower: lower.slice(0, count), userxattr, readOnly: true },
          actions: [
            ['readdirSync', 'o'],
            ['writeFileSync', 'x', ''],
            ['mode', ''],
          ],
        });
        expect(value).toMatchObject({ results: [['upper'], 'EROFS', '755'], mountsChanged: 0 });
      });

      it(`takes strange and long paths (${form})`, async () => {
        const base = openTempDir('strange');
        const strange = Array.from({ length: 30 }, (_, i) => path.join(base, 'a:b,c\\d=e "f"', 'n'.repeat(180), `layer:${i},\\`));
        for (const [i, s] of strange.entries()) mkdirSync(path.join(s, `x${i}`), { recursive: true });
        const { value, error } = await harness(place, {
          op: 'overlay',
          form,
          options: { lower: strange, userxattr },
          actions: [['readdirSync', '']],
        });
        expect(error).toBeUndefined();
        expect(value.results[0]).toHaveLength(30);
      });
    }

    // In a user namespace the mounts below / are locked to it: showing what they cover is refused (clone_private_mount).
    it(`${place === 'root' ? 'takes' : 'cannot take'} the whole of the host's tree as the lower layer`, async () => {
      const { value, error } = await harness(place, {
        op: 'overlay',
        form: 'steps',
        options: { lower: ['/'], userxattr },
        actions: [
          ['readdirSync', 'etc'],
          ['writeFileSync', 'tmp/ctr-test-in-memory', 'y'],
          ['readFileSync', 'tmp/ctr-test-in-memory'],
        ],
      });
      expect(error?.code).toBe(place === 'root' ? undefined : 'EINVAL');
      if (place === 'root') expect(value.results).toEqual([expect.arrayContaining(['passwd']), 'done', 'y']);
    });

    it.skipIf(!byDescriptor.ok)(byDescriptor.title("makes a root of the host's tree, directory by directory"), async () => {
      const actions: Action[] = [
        ['readdirSync', ''],
        ['readFileSync', 'etc/passwd'],
        ['writeFileSync', 'etc/ctr-test', 'mine'],
        ['readFileSync', 'etc/ctr-test'],
        ['readdirSync', 'proc'],
        ['mode', 'usr'],
        ['mode', 'root'],
        ['mkdirSync', 'new-at-the-top'],
      ];
      const { value, error } = await harness(place, { op: 'host', userxattr, actions });
      expect(error).toBeUndefined();
      const [names, passwd, ...rest] = value.results;
      const top = readdirSync('/', { withFileTypes: true }).filter((d) => d.isDirectory() || d.isSymbolicLink());
      expect(names).toEqual(top.map((d) => d.name).sort());
      expect(passwd).toBe(readFileSync('/etc/passwd', 'utf8'));
      const modeOf = (name: string): string => (statSync(name).mode & 0o7777).toString(8);
      expect(rest).toEqual(['done', 'mine', [], modeOf('/usr'), modeOf('/root'), 'done']);
      expect(value.mountsChanged).toBe(0);
      expect(existsSync('/etc/ctr-test') || existsSync('/new-at-the-top')).toBe(false);
    });

    it('binds a folder as a root, read-only or not', async () => {
      const folder = openTempDir('bind');
      mkdirSync(path.join(folder, 'd'));
      for (const readOnly of [false, true]) {
        const { value, error } = await harness(place, {
          op: 'bind',
          directory: folder,
          readOnly,
          actions: [
            ['readdirSync', ''],
            ['writeFileSync', 'w', ''],
          ],
        });
        expect(error).toBeUndefined();
        expect(value).toMatchObject({ results: [expect.arrayContaining(['d']), readOnly ? 'EROFS' : 'done'], mountsChanged: 0 });
      }
    });
  });

const user = need('userns', 'overlay-in-userns');
describe.skipIf(!user.ok)(user.title('a layer written by an ordinary user'), () => {
  it("has everything as the caller's, with its modes, and counts what was lost", async () => {
    const work = openTempDir('rootless');
    const closed = [
      dir('closed', { mode: 0o000 }),
      file('closed/f', 'x'),
      dir('ro', { mode: 0o555 }),
      dir('ro/sub', { mode: 0o500 }),
      file('ro/sub/f'),
    ];
    const bytes = archive(
      ...closed,
      file('su', 'x', { mode: 0o4755, uid: 0 }),
      file('u', 'x', { uid: 1000, gid: 1000 }),
      symlink('s', 'u', { uid: 5 }),
      header({ name: 'null', type: '3', major: 1, minor: 3 }),
      pax({ 'SCHILY.xattr.security.capability': Buffer.from('0100000200040000000000000000000000000000', 'hex') }),
      file('cap'),
    );
    writeFileSync(path.join(work, 'a.tar'), bytes);
    const directory = path.join(work, 'fs');
    const { value, error } = await harness('user', { op: 'extract', tar: path.join(work, 'a.tar'), directory, userxattr: true });
    expect(error).toBeUndefined();
    expect(value).toMatchObject({ ownersDropped: 2, devicesSkipped: 1, xattrsDropped: 1 });
    const { value: view } = await harness('userns', {
      op: 'overlay',
      form: 'steps',
      options: { lower: [directory], userxattr: true },
      actions: [
        ['mode', 'closed'],
        ['mode', 'ro'],
        ['mode', 'ro/sub'],
        ['mode', 'su'],
        ['readFileSync', 'closed/f'],
        ['writeFileSync', 'ro/sub/new', 'x'],
        ['readdirSync', 'ro/sub'],
      ],
    });
    expect(view.results).toEqual(['0', '555', '500', '4755', 'x', 'done', ['f', 'new']]);
    await harness('user', { op: 'remove', directory });
    expect(readdirSync(work)).toEqual(['a.tar']);
  });
});
