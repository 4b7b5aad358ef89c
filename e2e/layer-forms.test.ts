// Both forms of a layer show the tree that umoci makes of the same image: mode, owner, times, attributes, link groups, content.
import { randomBytes } from 'node:crypto';
import { createReadStream, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { ImageStore, packTar, type TarEntry } from '@ctr/image';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import {
  chooseLayerForm,
  type LayerForm,
  LayerMounts,
  layerSink,
  mountLayer,
  mountOverlay,
  openLayerWriter,
  removeTree,
} from '@ctr/overlayfs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startRegistry, type TestRegistry } from '../packages/image/test/support/registry.js';
import { archive, dir, file, hardlink, header, pax, symlink } from '../packages/overlayfs/test/tar-builder.js';
import { differences, treeFacts } from '../packages/overlayfs/test/tree-facts.js';
import { must } from './fixtures/command.js';
import { debianPython, TAG } from './fixtures/debian-python.js';

const choice = process.platform === 'linux' ? await chooseLayerForm(makeTempDir('probe')).catch(() => undefined) : undefined;
host.define('erofs-layers', {
  test: () => choice?.form === 'erofs',
  cure: `run as root on Linux 6.15 or newer, with temporary files not on a tmpfs (${choice?.reason})`,
});
const needs = need('root', 'umoci', 'erofs-layers');
const needsDebian = need('root', 'umoci', 'erofs-layers', 'debian-python');

/** Trees go to memory: thousands of files that are made and removed wear a disk's file system down. */
const MEMORY = '/dev/shm';
const made: string[] = [];
afterEach(async () => {
  for (const directory of made.splice(0)) await removeTree(directory);
});
function scratch(): string {
  const directory = mkdtempSync(path.join(MEMORY, 'ctr-test-forms-'));
  made.push(directory);
  return directory;
}

interface Descriptor {
  digest: string;
}

/** The layers' blobs of an OCI layout, the lowest first. */
function layersOf(layout: string): string[] {
  const blob = (d: Descriptor): string => path.join(layout, 'blobs', d.digest.replace(':', '/'));
  const index = JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8')) as { manifests: [Descriptor] };
  const manifest = JSON.parse(readFileSync(blob(index.manifests[0]), 'utf8')) as { layers: Descriptor[] };
  return manifest.layers.map(blob);
}

async function unpacked(layout: string, form: LayerForm): Promise<string[]> {
  const parent = form === 'dir' ? scratch() : makeTempDir('layers');
  const directories = layersOf(layout).map((blob, i) => ({ blob, directory: path.join(parent, `${i}`) }));
  for (const { blob, directory } of directories) {
    await using writer = openLayerWriter(directory, { form, userxattr: false, sync: false });
    await pipeline(createReadStream(blob), createGunzip(), async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) await writer.write(chunk);
    });
    await writer.end();
  }
  return directories.map((d) => d.directory).reverse();
}

/** The mounted image as facts. */
async function mounted(layout: string, form: LayerForm): Promise<Map<string, string>> {
  const directories = await unpacked(layout, form);
  const layers = form === 'erofs' ? await Promise.all(directories.map(mountLayer)) : directories;
  try {
    using root = await mountOverlay({ lower: layers, readOnly: true });
    return await treeFacts(`/proc/self/fd/${root.fd}/`);
  } finally {
    for (const layer of layers) if (typeof layer !== 'string') layer.close();
  }
}

async function byUmoci(layout: string, tag: string): Promise<Map<string, string>> {
  const bundle = path.join(scratch(), 'bundle');
  await must('umoci', ['unpack', '--image', `${layout}:${tag}`, bundle]);
  return treeFacts(path.join(bundle, 'rootfs'));
}

/** The mounted image as facts: pulled over native threads, as a container has it. */
async function pulledAndMounted(reference: string, form: LayerForm): Promise<Map<string, string>> {
  const root = form === 'dir' ? scratch() : makeTempDir('store');
  const store = await ImageStore.open({ root: path.join(root, 'store') });
  const sink = layerSink({ form, userxattr: false, sync: false });
  const directories = await store.unpack(await store.pull(reference, { auth: false, sink }), sink);
  const mounts = new LayerMounts();
  try {
    using mount = await mountOverlay({ lower: form === 'erofs' ? await mounts.paths(directories) : directories, readOnly: true });
    return await treeFacts(`/proc/self/fd/${mount.fd}/`);
  } finally {
    mounts.close();
  }
}

async function makeImage(layers: readonly Buffer[]): Promise<string> {
  const work = makeTempDir('image');
  const layout = path.join(work, 'layout');
  await must('umoci', ['init', '--layout', layout]);
  await must('umoci', ['new', '--image', `${layout}:t`]);
  for (const [i, bytes] of layers.entries()) {
    writeFileSync(path.join(work, `${i}.tar`), bytes);
    await must('umoci', ['raw', 'add-layer', '--image', `${layout}:t`, path.join(work, `${i}.tar`)]);
  }
  return layout;
}

async function expectEqual(layout: string, tag: string): Promise<void> {
  const expected = await byUmoci(layout, tag);
  expect(expected.size).toBeGreaterThan(1);
  for (const form of ['dir', 'erofs'] as const) expect(differences(await mounted(layout, form), expected), form).toEqual([]);
}

describe.skipIf(!needsDebian.ok)(needsDebian.title('Debian with python3, in three layers'), () => {
  let layout: string;
  beforeAll(async () => {
    layout = await debianPython();
  }, 600_000);

  it('is the same tree in both forms as by umoci', () => expectEqual(layout, TAG), 300_000);
});

describe.skipIf(!needs.ok)(needs.title('made images'), () => {
  const many = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));
  const root = dir('./', { mode: 0o755, mtime: 1_234_567_890 });

  it('with many whiteouts and opaque directories', async () => {
    const base = archive(
      root,
      dir('etc'),
      ...many(300, (i) => file(`etc/f${i}`, `content ${i}`, { uid: i, gid: 2 * i })),
      ...many(40, (i) => Buffer.concat([dir(`d${i}`, { mode: 0o750 + (i % 8) }), file(`d${i}/a`), dir(`d${i}/sub`), file(`d${i}/sub/b`)])),
    );
    const upper = archive(
      root,
      dir('etc', { mode: 0o711, mtime: 1_500_000_000 }),
      ...many(150, (i) => file(`etc/.wh.f${2 * i}`, '')),
      ...many(10, (i) => file(`.wh.d${i}`, '')),
      ...many(10, (i) => Buffer.concat([dir(`d${10 + i}`), file(`d${10 + i}/.wh..wh..opq`, ''), file(`d${10 + i}/new`)])),
      ...many(10, (i) => Buffer.concat([file(`.wh.d${20 + i}`, ''), file(`d${20 + i}`, 'a file now')])),
    );
    const top = archive(root, dir('etc'), ...many(20, (i) => file(`etc/f${2 * i}`, 'back')), dir('d3'), file('d3/again'));
    await expectEqual(await makeImage([base, upper, top]), 't');
  });

  it('with many hard links, strange names, devices and attributes', async () => {
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
    const names = ['!', '+', '-', '..a', '.a', '...', ' ', 'ä', '\\', `${'n'.repeat(255)}`, 'a\nb'];
    const bytes = archive(
      root,
      dir('links', { mtime: 1_400_000_000 }),
      ...many(50, (i) => file(`links/original-${i}`, `${i}`.repeat(1 + 100 * i), { mode: 0o600 + (i % 64) })),
      ...many(500, (i) => hardlink(`links/link-${i}`, `links/original-${i % 50}`)),
      symlink('soft', 'links/original-1'),
      hardlink('soft-too', 'soft'),
      dir('names'),
      ...names.map((name) => Buffer.concat([pax({ path: `names/${name}` }), file('x', name)])),
      symlink('long-target', 'x/'.repeat(40)),
      Buffer.concat([pax({ linkpath: 't'.repeat(1500) }), symlink('longer-target', 'x')]),
      header({ name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 }),
      header({ name: 'big-minor', type: '4', major: 259, minor: 70_000, mode: 0o660, gid: 6 }),
      header({ name: 'fifo', type: '6', mode: 0o622 }),
      Buffer.concat([
        pax({ 'SCHILY.xattr.security.capability': capability, 'SCHILY.xattr.user.note': 'hello' }),
        file('ping', 'x', { mode: 0o755 }),
      ]),
      Buffer.concat([pax({ 'SCHILY.xattr.user.on-a-directory': 'v'.repeat(700) }), dir('noted', { mode: 0o2775 })]),
      file('setuid', 'x', { mode: 0o6755 }),
      dir('sticky', { mode: 0o1777 }),
      file('epoch', '', { mtime: 0 }),
    );
    await expectEqual(await makeImage([bytes]), 't');
  });

  it('of 120 layers', async () => {
    const layers = many(120, (i) =>
      archive(root, file(`f${i % 40}`, `layer ${i}`), ...(i % 3 === 0 ? [file(`.wh.f${(i + 7) % 40}`, '')] : [])),
    );
    await expectEqual(await makeImage(layers), 't');
  }, 120_000);
});

const needsRegistry = need('root', 'umoci', 'erofs-layers', 'registry', 'skopeo');
describe.skipIf(!needsRegistry.ok)(needsRegistry.title('images of a registry'), () => {
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await startRegistry();
  });
  afterAll(() => registry?.stop());

  const folders = Array.from({ length: 300 }, (_, i) => i);
  const times = { mtime: 1_600_000_000 };
  const layers: Record<string, readonly (readonly TarEntry[])[]> = {
    '30,000 files': [
      [
        { type: 'directory', path: '.', mode: 0o755, ...times },
        ...folders.flatMap((i): TarEntry[] => [
          { type: 'directory', path: `d${i}`, mode: 0o700 + (i % 64), uid: i, ...times },
          ...Array.from(
            { length: 100 },
            (_, j): TarEntry => ({ type: 'file', path: `d${i}/${j}`, content: `${i} ${j}`, gid: j, mtime: i * j }),
          ),
        ]),
      ],
      [
        { type: 'directory', path: '.', mode: 0o755, ...times },
        ...folders.filter((i) => i % 7 === 0).map((i): TarEntry => ({ type: 'file', path: `.wh.d${i}`, content: '' })),
      ],
    ],
    'one big file': [
      [
        { type: 'directory', path: '.', mode: 0o755, ...times },
        // Half of it compresses well, half not at all.
        {
          type: 'file',
          path: 'big',
          content: Buffer.concat([Buffer.alloc(24 * 2 ** 20, 'lorem ipsum '), randomBytes(24 * 2 ** 20)]),
          ...times,
        },
        { type: 'hardlink', path: 'same', target: 'big' },
      ],
    ],
  };

  it.each(Object.keys(layers))(
    '%s: pulled and mounted in both forms, they are the tree that umoci makes',
    async (shape) => {
      const reference = `${registry.host}/${shape.replaceAll(/[ ,]/g, '')}:1`;
      const store = await ImageStore.open({ root: path.join(makeTempDir('made'), 'store') });
      await store.create({ reference, layers: (layers[shape] ?? []).map((entries) => packTar(entries)) });
      await store.push(reference, { auth: false });
      const layout = path.join(scratch(), 'layout');
      const policy = path.join(makeTempDir('policy'), 'policy.json');
      writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
      await must('skopeo', ['--policy', policy, 'copy', '-q', '--src-tls-verify=false', `docker://${reference}`, `oci:${layout}:t`]);
      const expected = await byUmoci(layout, 't');
      expect(expected.size).toBeGreaterThan(2);
      for (const form of ['erofs', 'dir'] as const)
        expect(differences(await pulledAndMounted(reference, form), expected), form).toEqual([]);
    },
    180_000,
  );
});
