// The options of an overlay beside its layers: each with the effect for which one gives it.
import { spawn } from 'node:child_process';
import { chmodSync, linkSync, lstatSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { Fd, mountLayer, mountOverlay, type OverlayOptions, openLayerWriter } from '../src/index.js';
import { native } from '../src/native.js';
import { layersAsFiles, mountsHere } from './needs.js';
import { archive, dir, file } from './tar-builder.js';

function makeTree(): string {
  const root = makeTempDir('lower');
  mkdirSync(path.join(root, 'd'));
  writeFileSync(path.join(root, 'd/f'), 'content');
  writeFileSync(path.join(root, 'f'), 'content');
  linkSync(path.join(root, 'f'), path.join(root, 'g'));
  return root;
}

const inside = async <T>(options: OverlayOptions, look: (root: string) => T): Promise<T> => {
  using fd = await mountOverlay(options);
  return look(`/proc/self/fd/${fd.fd}`);
};

const xattrs = async (directory: string): Promise<string[]> => {
  using fd = Fd.of(openSync(directory, 'r'));
  return (await native().scanDirectory(fd.fd, Buffer.alloc(0))).flatMap((e) => Object.keys(e.xattrs)).sort();
};

const codeOf = (work: () => void): string | undefined => {
  try {
    work();
    return undefined;
  } catch (e) {
    return (e as NodeJS.ErrnoException).code;
  }
};

/** Runs `work` with a user namespace whose root is the host's id 100000. */
async function withUserNamespace<T>(work: (userns: Fd) => Promise<T>): Promise<T> {
  const child = spawn('unshare', ['-U', 'sleep', '60'], { stdio: 'ignore' });
  const pid = child.pid as number;
  try {
    while (namespaceOf(pid) === namespaceOf(process.pid)) await sleep(5);
    for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${pid}/${map}`, '0 100000 65536\n');
    using userns = Fd.of(openSync(`/proc/${pid}/ns/user`, 'r'));
    return await work(userns);
  } finally {
    child.kill('SIGKILL');
  }
}

const namespaceOf = (pid: number): number => statSync(`/proc/${pid}/ns/user`).ino;

describe.skipIf(!mountsHere.ok)(mountsHere.title('an overlay mounted with'), () => {
  it('redirectDir lets a directory of a layer be renamed, which else is EXDEV', async () => {
    const lower = [makeTree()];
    const rename = (root: string): string | undefined => codeOf(() => renameSync(`${root}/d`, `${root}/e`));
    expect(await inside({ lower }, rename)).toBe('EXDEV');
    const upper = { directory: makeTempDir('upper') };
    expect(await inside({ lower, upper, redirectDir: true }, (root) => [rename(root), readFileSync(`${root}/e/f`, 'utf8')])).toEqual([
      undefined,
      'content',
    ]);
    expect(await xattrs(`${upper.directory}/upper`)).toContain('trusted.overlay.redirect');
  });

  it('metacopy copies no content when only the mode changes', async () => {
    const lower = [makeTree()];
    for (const metacopy of [false, true]) {
      const upper = { directory: makeTempDir('upper') };
      await inside({ lower, upper, metacopy }, (root) => chmodSync(`${root}/d/f`, 0o600));
      expect((await xattrs(`${upper.directory}/upper/d`)).includes('trusted.overlay.metacopy')).toBe(metacopy);
    }
  });

  it('index keeps hard links of a layer together when one is written to', async () => {
    const lower = [makeTree()];
    for (const index of [false, true]) {
      const upper = { directory: makeTempDir('upper') };
      const content = await inside({ lower, upper, index }, (root) => {
        writeFileSync(`${root}/f`, 'written');
        return readFileSync(`${root}/g`, 'utf8');
      });
      expect(content).toBe(index ? 'written' : 'content');
    }
  });

  it('xino gives files of all layers one device', async () => {
    const lower = [makeTree(), '/dev/shm'];
    const devices = (root: string): boolean => statSync(`${root}/f`).dev === statSync(`${root}/d`).dev;
    expect(await inside({ lower, upper: { directory: makeTempDir('upper') }, xino: 'on' }, devices)).toBe(true);
  });

  it('dataLower shows nothing of its own, and the layers above as they are', async () => {
    const data = makeTempDir('data');
    writeFileSync(path.join(data, 'blob'), 'from the store');
    const seen = await inside({ lower: [makeTree()], dataLower: [data] }, (root) => [
      codeOf(() => lstatSync(`${root}/blob`)),
      readFileSync(`${root}/f`, 'utf8'),
    ]);
    expect(seen).toEqual(['ENOENT', 'content']);
  });

  it('idmap shows the owners of a layer as a user namespace maps them', async () => {
    const lower = makeTree();
    const owners = (root: string): number[] => [statSync(`${root}/f`).uid, statSync(`${root}/d`).gid, statSync(`${root}/d/f`).uid];
    const seen = await withUserNamespace((idmap) => inside({ lower: [lower], idmap }, owners));
    expect(seen).toEqual([100_000, 100_000, 100_000]);
    expect(statSync(path.join(lower, 'f')).uid, 'the layer itself').toBe(0);
  });
});

describe.skipIf(!layersAsFiles.ok)(layersAsFiles.title('layers that are files'), () => {
  async function layer(bytes: Uint8Array): Promise<string> {
    const directory = path.join(makeTempDir('layer'), 'l');
    await using writer = openLayerWriter(directory, { form: 'erofs', userxattr: false, sync: false });
    await writer.write(bytes);
    await writer.end();
    return directory;
  }

  it('stack like directories, by descriptor, and leave no mount of the host', async () => {
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
    using lower = await mountLayer(await layer(archive(dir('d'), file('d/a', 'lower'), file('d/b', 'lower'), file('gone'))));
    using upper = await mountLayer(await layer(archive(dir('d'), file('d/a', 'upper'), file('.wh.gone', ''))));
    const seen = await inside({ lower: [upper, lower] }, (root) => {
      writeFileSync(`${root}/d/b`, 'written');
      return [readFileSync(`${root}/d/a`, 'utf8'), readFileSync(`${root}/d/b`, 'utf8'), codeOf(() => lstatSync(`${root}/gone`))];
    });
    expect(seen).toEqual(['upper', 'written', 'ENOENT']);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(mounts);
  });

  it('show owners by idmap', async () => {
    using lower = await mountLayer(await layer(archive(file('f', 'x', { uid: 5, gid: 6 }))));
    const seen = await withUserNamespace((idmap) => inside({ lower: [lower], idmap }, (root) => statSync(`${root}/f`).uid));
    expect(seen).toBe(100_005);
  });
});
