// The form of a layer that is one file: what the file is, and that it comes and goes as a whole.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { chooseLayerForm, LayerMounts, mountLayer, mountOverlay, openLayerWriter, removeTree } from '../src/index.js';
import { layersAsFiles } from './needs.js';
import { archive, dir, file, symlink } from './tar-builder.js';

async function layer(bytes: Uint8Array): Promise<string> {
  const directory = path.join(makeTempDir('layer'), 'l');
  await using writer = openLayerWriter(directory, { form: 'erofs', userxattr: false, sync: false });
  for (let at = 0; at < bytes.length; at += 1000) await writer.write(bytes.subarray(at, at + 1000));
  await writer.end();
  return directory;
}

const linux = need('linux');
describe.skipIf(!linux.ok)(linux.title('a layer as a file'), () => {
  it('holds the archive byte for byte, whatever comes behind its end, and nobody else can read it (L-27)', async () => {
    const bytes = Buffer.concat([archive(dir('d'), file('d/f', 'content')), Buffer.from('behind the end')]);
    const directory = await layer(bytes);
    expect(readdirSync(directory)).toEqual(['layer.erofs']);
    const image = readFileSync(path.join(directory, 'layer.erofs'));
    expect(image.subarray(4096, 4096 + bytes.length).equals(bytes)).toBe(true);
    expect(statSync(path.join(directory, 'layer.erofs')).mode & 0o777).toBe(0o600);
    expect(readFileSync(path.join(await layer(bytes), 'layer.erofs')).equals(image), 'the same archive, the same file').toBe(true);
  });

  it('has no name and no superblock until it is whole', async () => {
    const directory = path.join(makeTempDir('layer'), 'l');
    const writer = openLayerWriter(directory, { form: 'erofs', userxattr: false });
    await writer.write(archive(file('f')).subarray(0, 1024));
    expect(readdirSync(directory)).toEqual(['layer.erofs.tmp']);
    expect(
      readFileSync(path.join(directory, 'layer.erofs.tmp'))
        .subarray(0, 4096)
        .every((byte) => byte === 0),
    ).toBe(true);
    await writer.abort();
    expect(existsSync(directory)).toBe(false);
  });
});

describe.skipIf(!layersAsFiles.ok)(layersAsFiles.title('a mounted layer'), () => {
  it('shows root directories of every size around a block', async () => {
    using mounts = new LayerMounts();
    for (let n = 0; n < 45; n++) {
      const names = Array.from({ length: n }, (_, i) => `name-${String(i).padStart(2, '0')}`);
      const directory = await layer(archive(...names.map((name) => file(name, ''))));
      const [mount] = await mounts.get([directory]);
      expect(readdirSync(`/proc/self/fd/${mount?.fd}/`).sort()).toEqual(names);
    }
  });

  it('shows links and names of every length', async () => {
    const lengths = [1, 59, 60, 99, 100, 255];
    using mount = await mountLayer(
      await layer(archive(...lengths.map((n) => file('n'.repeat(n).slice(0, 100), `${n}`)), symlink('l', 'x'))),
    );
    expect(readdirSync(`/proc/self/fd/${mount.fd}/`)).toContain('n'.repeat(99));
  });

  it('serves many overlays, and outlives its file', async () => {
    const directory = await layer(archive(file('f', 'still here')));
    const mounts = new LayerMounts();
    const [a, b] = await Promise.all([mounts.get([directory]), mounts.get([directory])]);
    expect(a[0]).toBe(b[0]);
    using root = await mountOverlay({ lower: a });
    await removeTree(directory);
    mounts.close();
    expect(readFileSync(`/proc/self/fd/${root.fd}/f`, 'utf8')).toBe('still here');
  });

  it('is refused when it is damaged or absent', async () => {
    const directory = await layer(archive(file('f')));
    writeFileSync(path.join(directory, 'layer.erofs'), Buffer.alloc(8192));
    await expect(mountLayer(directory)).rejects.toMatchObject({ code: expect.stringMatching(/^(CTR_UNSUPPORTED|EINVAL)$/) });
    await removeTree(directory);
    await expect(mountLayer(directory)).rejects.toMatchObject({ code: 'ENOENT', message: expect.stringContaining('mount the layer') });
  });

  it('goes through a loop device where the kernel mounts no file of that file system, and the device goes with the mount', async (t) => {
    // Files of a tmpfs are such: it takes the way of every kernel before 6.12.
    const directory = `/dev/shm/ctr-test-loop-${process.pid}`;
    await using writer = openLayerWriter(directory, { form: 'erofs', userxattr: false, sync: false });
    await writer.write(archive(dir('d', { mode: 0o751 }), file('d/f', 'by loop'), symlink('l', 'd/f')));
    await writer.end();
    const backing = (): string[] =>
      readdirSync('/sys/block')
        .filter((name) => name.startsWith('loop'))
        .map((name) => `/sys/block/${name}/loop/backing_file`)
        .filter((f) => existsSync(f))
        .map((f) => readFileSync(f, 'utf8'));
    const ours = (): string[] => backing().filter((f) => f.includes(directory));
    try {
      const mount = await mountLayer(directory).catch((e: Error) => e);
      if (mount instanceof Error) {
        expect(mount).toMatchObject({ code: 'CTR_UNSUPPORTED', hint: expect.stringContaining('dir') });
        return t.skip(`no loop devices here: ${mount.message}`);
      }
      expect(readFileSync(`/proc/self/fd/${mount.fd}/l`, 'utf8')).toBe('by loop');
      expect(statSync(`/proc/self/fd/${mount.fd}/d`).mode & 0o7777).toBe(0o751);
      expect(ours().length).toBe(1);
      mount.close();
      // The kernel lets a detached mount go on its own time.
      await expect.poll(() => ours(), { timeout: 20_000 }).toEqual([]);
    } finally {
      await removeTree(directory);
    }
  });

  it('is not to be had where the file system has no such mounts, unless by a loop device', async () => {
    const { form, reason } = await chooseLayerForm('/dev/shm');
    expect(form === 'erofs' ? reason : typeof reason).toBe(form === 'erofs' ? undefined : 'string');
    expect(await chooseLayerForm('/proc')).toMatchObject({ form: 'dir' });
  });
});
