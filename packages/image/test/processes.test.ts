// Several processes on one store, processes that are killed, and disks that are full.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need, rounds, slowness } from '@ctr/internal/testing';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ImageStore } from '../src/index.js';
import { type FakeImage, FakeRegistry, putImage, tarOf } from './support/fake-registry.js';
import { bundle, runNode } from './support/programs.js';
import { spoolSink } from './support/spool-sink.js';

const SINK = `
import { open } from 'node:fs/promises';
const sink = { async open(dir) { const h = await open(dir + '/layer.tar', 'wx'); return { write: (c) => h.writeFile(c), end: () => h.close(), abort: () => h.close() } } };
const options = { auth: false, sink, retry: { attempts: 2, baseDelayMs: 1 } };
const store = await ImageStore.open({ root: args.root });
`;

let lib: string;
let registry: FakeRegistry;
let image: FakeImage;

beforeAll(async () => {
  lib = await bundle();
  registry = await FakeRegistry.start();
  const tars = await Promise.all([1, 2, 3].map((i) => tarOf([{ type: 'file', path: `f${i}`, content: randomBytes(2_000_000) }])));
  image = await putImage(registry, 'app', { tars });
});
beforeEach(() => registry.reset());

const leftovers = (root: string): string[] => ['tmp', 'leases', 'lock'].flatMap((d) => readdirSync(path.join(root, d)));
const expectWhole = async (root: string): Promise<void> => {
  const store = await ImageStore.open({ root });
  const found = await store.find(`${registry.host}/app`);
  expect(found?.digest).toBe(image.manifest.digest);
  if (found !== undefined) expect(await store.unpack(found, spoolSink())).toHaveLength(3);
  expect(leftovers(root)).toEqual([]);
};

describe('several processes', () => {
  it('pull one image at one time: all succeed, one copy stays', async () => {
    const root = path.join(makeTempDir('shared'), 'store');
    const script = `${SINK} const i = await store.pull(args.reference, options); console.log(i.digest, (await store.unpack(i, sink)).length);`;
    const children = [1, 2, 3, 4].map(() => runNode(lib, script, { root, reference: `${registry.host}/app` }));
    const out = await Promise.all(children.map((c) => c.done));
    expect(new Set(out)).toEqual(new Set([`${image.manifest.digest} 3\n`]));
    await expectWhole(root);
  });

  it('write index.json at one time, and gc() beside it takes nothing', async () => {
    const root = path.join(makeTempDir('shared'), 'store');
    const script = `${SINK}
      for (let i = 0; i < 8; i++) {
        await store.create({ reference: 'localhost/' + args.name + ':' + i, layers: [packTar([{ type: 'file', path: 'a', content: args.name + i }])] });
        await store.gc();
      }`;
    await Promise.all(['a', 'b', 'c'].map((name) => runNode(lib, script, { root, name }).done));
    const store = await ImageStore.open({ root });
    const all = await store.list();
    expect(all).toHaveLength(24);
    for (const one of all) expect(await store.unpack(one, spoolSink())).toHaveLength(1);
    expect(leftovers(root)).toEqual([]);
  });
});

it('worker threads pull at one time as well', async () => {
  const root = path.join(makeTempDir('workers'), 'store');
  const script = `
    import { Worker } from 'node:worker_threads';
    const code = 'import(' + JSON.stringify(args.lib) + ').then(async ({ ImageStore }) => {'
      + 'const sink = { open: () => ({ write: async () => {}, end: async () => {}, abort: async () => {} }) };'
      + 'const store = await ImageStore.open({ root: ' + JSON.stringify(args.root) + ' });'
      + 'const image = await store.pull(' + JSON.stringify(args.reference) + ', { auth: false, sink });'
      + '(await import("node:worker_threads")).parentPort.postMessage(image.digest); })';
    const workers = [1, 2, 3].map(() => new Promise((resolve, reject) => new Worker(code, { eval: true }).on('message', resolve).on('error', reject)));
    console.log(new Set(await Promise.all(workers)).size);`;
  expect(await runNode(lib, script, { lib, root, reference: `${registry.host}/app` }).done).toBe('1\n');
  await expectWhole(root);
});

describe('kill -9', () => {
  it('in the middle of a layer: nothing of it is seen, the next pull succeeds and clears away what was left', async () => {
    const root = path.join(makeTempDir('killed'), 'store');
    registry.handler = (req, res) => {
      const layer = image.layers.find((l) => req.url?.includes(l.digest));
      if (layer === undefined) return false;
      res.writeHead(200, { 'content-length': String(layer.size) }).write(layer.bytes.subarray(0, 1_000_000));
      return true;
    };
    const script = `${SINK} await store.pull(args.reference, { ...options, onProgress: (p) => p.type === 'unpack' && console.log('unpacking') });`;
    const child = runNode(lib, script, { root, reference: `${registry.host}/app` });
    await child.said('unpacking');
    child.process.kill('SIGKILL');
    await expect(child.done).rejects.toThrow('SIGKILL');
    expect(readdirSync(path.join(root, 'tmp'))).not.toEqual([]);
    expect(readdirSync(path.join(root, 'layers/sha256'))).toEqual([]);
    registry.reset();
    const store = await ImageStore.open({ root });
    expect(leftovers(root)).toEqual([]);
    expect(await store.list()).toEqual([]);
    await store.pull(`${registry.host}/app`, { auth: false, sink: spoolSink() });
    await expectWhole(root);
  });

  it('at random moments: the store is whole each time', async () => {
    const root = path.join(makeTempDir('killed'), 'store');
    const script = `${SINK}
      console.log('begun');
      for (;;) {
        const i = await store.pull(args.reference, options);
        await store.remove(args.reference);
        await store.gc();
      }`;
    const times = rounds(8);
    for (let round = 0; round < times; round++) {
      const children = [1, 2].map(() => runNode(lib, script, { root, reference: `${registry.host}/app` }));
      await Promise.all(children.map((c) => c.said('begun')));
      await new Promise((resolve) => setTimeout(resolve, (10 + (round * 200) / times) * slowness));
      for (const c of children) c.process.kill('SIGKILL');
      await Promise.all(children.map((c) => c.done.catch((e: Error) => expect(e.message).toContain('SIGKILL'))));
      const store = await ImageStore.open({ root });
      const found = await store.pull(`${registry.host}/app`, { auth: false, sink: spoolSink() });
      expect(await store.unpack(found, spoolSink())).toHaveLength(3);
      await store.remove(`${registry.host}/app`);
      await store.gc();
      expect(readdirSync(path.join(root, 'blobs/sha256'))).toEqual([]);
      expect(leftovers(root)).toEqual([]);
    }
  }, 120_000);
});

const n = need('root');
describe.skipIf(!n.ok)(n.title('a full disk'), () => {
  // A private mount namespace: the small disk is seen by the child alone, and gone with it.
  const onSmallDisk = (script: string, args: { root: string; reference: string }, size: string) =>
    runNode(lib, script, args, [
      'unshare',
      '-m',
      'sh',
      '-c',
      `mount -t tmpfs -o size=${size} tmpfs "$0" && exec "$@"`,
      path.dirname(args.root),
    ]);

  it.each(['3m', '5m', '10m'])('of %s ends in ENOSPC with a hint, and the space comes back', async (size) => {
    const root = path.join(makeTempDir('small'), 'store');
    const script = `${SINK}
      import { readdirSync, statfsSync } from 'node:fs';
      const free = () => { const s = statfsSync(args.root); return s.bfree * s.bsize };
      const before = free();
      const e = await store.pull(args.reference, options).catch((e) => e);
      const names = ['tmp', 'leases', 'lock', 'blobs/sha256', 'layers/sha256'].flatMap((d) => readdirSync(args.root + '/' + d));
      console.log(JSON.stringify({ code: e.code, hint: e.hint, names, lost: Math.max(0, before - free()) < 100_000, list: await store.list() }));`;
    const out = JSON.parse(await onSmallDisk(script, { root, reference: `${registry.host}/app` }, size).done);
    expect(out).toEqual({ code: 'ENOSPC', hint: expect.stringContaining('disk is full'), names: [], lost: true, list: [] });
  });

  it('at creating an image leaves nothing either', async () => {
    const root = path.join(makeTempDir('small'), 'store');
    const script = `${SINK}
      import { readdirSync } from 'node:fs';
      import { randomBytes } from 'node:crypto';
      const layers = [1, 2].map(() => packTar([{ type: 'file', path: 'a', content: randomBytes(2_000_000) }]));
      const e = await store.create({ reference: 'localhost/a', layers }).catch((e) => e);
      await store.gc();
      console.log(JSON.stringify({ code: e.code, names: ['tmp', 'leases', 'blobs/sha256'].flatMap((d) => readdirSync(args.root + '/' + d)) }));`;
    expect(JSON.parse(await onSmallDisk(script, { root, reference: '' }, '3m').done)).toEqual({ code: 'ENOSPC', names: [] });
  });
});

describe('an ordinary user', () => {
  it.skipIf(!n.ok)(n.title('has a store of his own, and none in other people’s'), async () => {
    const { chmodSync, chownSync } = await import('node:fs');
    const home = makeTempDir('home');
    mkdirSync(path.join(home, 'user'));
    chownSync(path.join(home, 'user'), 65534, 65534);
    chmodSync(home, 0o755);
    for (const dir of [path.dirname(lib), path.dirname(path.dirname(lib))]) chmodSync(dir, 0o755);
    const script = `${SINK}
      const i = await store.pull(args.reference, options);
      const e = await ImageStore.open({ root: args.other }).catch((e) => e);
      console.log(JSON.stringify({ layers: (await store.unpack(i, sink)).length, code: e.code, hint: e.hint }));`;
    const args = { root: path.join(home, 'user/store'), other: path.join(home, 'other'), reference: `${registry.host}/app` };
    const child = runNode(lib, script, args, ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']);
    expect(JSON.parse(await child.done)).toEqual({ layers: 3, code: 'EACCES', hint: expect.stringContaining('CTR_ROOT') });
    expect(existsSync(args.other)).toBe(false);
  });
});
