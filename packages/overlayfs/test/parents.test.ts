// Directories that an archive leaves out take owner, mode and time from the layers below; the root from whoever describes it.
import { lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import {
  describeParents,
  Fd,
  type LayerForm,
  mountLayer,
  mountOverlay,
  mountParents,
  openLayerWriter,
  writeParents,
} from '../src/index.js';
import { layersAsFiles, mountsHere } from './needs.js';
import { archive, dir, file, pax } from './tar-builder.js';

const TIME = 1_234_567_890;
const BASE = archive(
  dir('./', { mode: 0o751, uid: 7, gid: 8 }),
  dir('tmp', { mode: 0o1777, mtime: TIME }),
  dir('home', { mode: 0o711 }),
  dir('home/user', { mode: 0o700, uid: 1000, gid: 1000, mtime: TIME }),
  dir('gone', { mode: 0o700 }),
  dir('gone/sub', { mode: 0o700 }),
  dir('said', { mode: 0o700 }),
);

async function layers(form: LayerForm, archives: readonly Uint8Array[]): Promise<(string | Fd)[]> {
  const out: (string | Fd)[] = [];
  for (const bytes of archives) {
    const directory = path.join(makeTempDir('layer'), 'l');
    await using writer = openLayerWriter(directory, { form, userxattr: false, sync: false });
    await writer.write(bytes);
    await writer.end();
    out.unshift(form === 'erofs' ? await mountLayer(directory) : directory);
  }
  return out;
}

const facts = (root: string, name: string): string => {
  const s = lstatSync(root + name);
  return `${(s.mode & 0o7777).toString(8)} ${s.uid}:${s.gid}`;
};

for (const [form, needed] of [
  ['dir', mountsHere],
  ['erofs', layersAsFiles],
] as const)
  describe.skipIf(!needed.ok)(needed.title(`parents that an archive leaves out (${form})`), () => {
    it('are as the layers below say', async () => {
      const upper = archive(
        file('tmp/new', 'x'),
        file('home/user/new', 'x'),
        file('.wh.gone', ''),
        file('gone/sub/new', 'x'),
        dir('said', { mode: 0o750 }),
        file('said/new', 'x'),
        file('only/here/new', 'x'),
      );
      const lower = await layers(form, [BASE, upper, archive(file('home/user/newer', 'y'))]);
      try {
        const parents = await describeParents(lower);
        expect(parents.root).toEqual({ mode: 0o751, uid: 7, gid: 8 });
        expect(parents.directories.map((d) => d.path.toString())).toEqual(['home', 'home/user', 'tmp']);
        using top = await mountParents(parents);
        using merged = await mountOverlay({ lower: [top, ...lower], root: parents.root });
        const root = `/proc/self/fd/${merged.fd}/`;
        expect(facts(root, '.')).toBe('751 7:8');
        expect(facts(root, 'tmp')).toBe('1777 0:0');
        expect(facts(root, 'home')).toBe('711 0:0');
        expect(facts(root, 'home/user')).toBe('700 1000:1000');
        expect(lstatSync(`${root}home/user`).mtimeMs).toBe(TIME * 1000);
        expect(facts(root, 'gone/sub'), 'nothing below shows there').toBe('755 0:0');
        expect(facts(root, 'said')).toBe('750 0:0');
        expect(facts(root, 'only/here')).toBe('755 0:0');
        for (const name of ['tmp/new', 'home/user/new', 'home/user/newer']) expect(readFileSync(root + name, 'utf8')).toMatch(/^[xy]$/);
      } finally {
        for (const layer of lower) if (layer instanceof Fd) layer.close();
      }
    });

    it('cost nothing where nothing was left out', async () => {
      const lower = await layers(form, [BASE, archive(dir('./'), dir('tmp', { mode: 0o1777 }), file('tmp/x'))]);
      expect(await describeParents(lower)).toEqual({ root: { mode: 0o755, uid: 0, gid: 0 }, directories: [] });
      for (const layer of lower) if (layer instanceof Fd) layer.close();
    });
  });

const trees = need('linux');
describe.skipIf(!trees.ok)(trees.title('parents that an archive leaves out, as a layer on disk'), () => {
  const asRoot = process.getuid?.() === 0;
  const userxattr = !asRoot;

  async function tree(bytes: Uint8Array): Promise<string> {
    const directory = path.join(makeTempDir('layer'), 'l');
    await using writer = openLayerWriter(directory, { userxattr, sync: false });
    await writer.write(bytes);
    await writer.end();
    return directory;
  }

  it('have mode, owner, time and attributes of the layer below', async () => {
    const user = dir('home/user', { mode: 0o750, uid: 7, gid: 8, mtime: TIME });
    const base = await tree(archive(dir('home', { mode: 0o711, mtime: TIME }), pax({ 'SCHILY.xattr.user.note': 'kept' }), user));
    const upper = await tree(archive(file('home/user/new', 'x'), file('only/here/new', 'x')));
    const parents = await describeParents([upper, base]);
    expect(parents.directories).toMatchObject([
      { path: Buffer.from('home'), mode: 0o711, mtime: TIME },
      { path: Buffer.from('home/user'), mode: 0o750, mtime: TIME, xattrs: { 'user.note': Buffer.from('kept') } },
    ]);
    const directory = path.join(makeTempDir('parents'), 'l');
    await writeParents(directory, parents, { userxattr });
    expect(readdirSync(directory, { recursive: true }).sort()).toEqual(['home', 'home/user']);
    expect(facts(`${directory}/`, 'home/user')).toBe(asRoot ? '750 7:8' : `750 ${process.getuid?.()}:${process.getgid?.()}`);
    expect(lstatSync(`${directory}/home`).mtimeMs).toBe(TIME * 1000);
    // On top of the stack it is what the stack should show.
    expect((await describeParents([directory, upper, base])).directories).toEqual([]);
    const [top] = (await describeParents([upper, directory])).directories.slice(-1);
    expect(top).toMatchObject({ mode: 0o750, mtime: TIME, xattrs: { 'user.note': Buffer.from('kept') } });
  });

  it('are no layer of somebody else’s folder', async () => {
    const directory = makeTempDir('taken');
    writeFileSync(path.join(directory, 'file'), '');
    const parents = { root: { mode: 0o755, uid: 0, gid: 0 }, directories: [] };
    await expect(writeParents(directory, parents, { userxattr })).rejects.toMatchObject({ code: 'ENOTEMPTY' });
    expect(readdirSync(directory)).toEqual(['file']);
  });
});
