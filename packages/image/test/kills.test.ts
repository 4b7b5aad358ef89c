// kill -9 at random moments of many kinds of work at once, too few file descriptors, a full disk: afterwards the store verifies
// clean, and the next pull succeeds. CTR_KILLS=200 kills as often as a release is tested with; CTR_SEED repeats a run.
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { host, makeTempDir, need, rounds, slowness } from '@ctr/internal/testing';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ImageStore, type LayerSink } from '../src/index.js';
import { FakeRegistry, putImage, tarOf } from './support/fake-registry.js';
import { NATIVE_SINKS, nativeLayers, userxattr } from './support/native-sink.js';
import { bundle, runNode } from './support/programs.js';
import { spoolSink } from './support/spool-sink.js';

const KILLS = Number(process.env['CTR_KILLS'] ?? rounds(16));
const SEED = Number(process.env['CTR_SEED'] ?? 1);

/** mulberry32: the same moments for the same seed. */
function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What a child runs with, by the way its layers take: over JavaScript, or over native threads. */
const SINKS = {
  'tar bytes': `{ async open(dir) { const h = await open(dir + '/layer.tar', 'wx'); return { write: (c) => h.writeFile(c), end: () => h.close(), abort: () => h.close() } } }`,
  dir: `layerSink({ userxattr: ${userxattr} })`,
  erofs: `layerSink({ form: 'erofs', userxattr: false })`,
};
type Way = keyof typeof SINKS;
const WAYS: readonly Way[] = nativeLayers.ok ? ['tar bytes', 'dir', 'erofs'] : ['tar bytes'];

const begin = (way: Way): string => `
import { open } from 'node:fs/promises';
const sink = ${SINKS[way]};
// The addon is loaded, as it is in a process that has run something.
${way === 'tar bytes' ? '' : 'pipelineDecompressors();'}
const options = { auth: false, sink, retry: { attempts: 2, baseDelayMs: 1 } };
const store = await ImageStore.open({ root: args.root });
`;

/** The same in this process. */
const sinkOf = (way: Way): LayerSink => NATIVE_SINKS.find(([name]) => name === way)?.[1] ?? spoolSink();

let lib: string;
let registry: FakeRegistry;
let references: string[];

beforeAll(async () => {
  lib = await bundle();
  registry = await FakeRegistry.start();
  // Three images that share their lowest layer.
  const shared = await tarOf([{ type: 'file', path: 'base', content: randomBytes(1_500_000) }]);
  for (const name of ['a', 'b', 'c'])
    await putImage(registry, name, { tars: [shared, await tarOf([{ type: 'file', path: name, content: randomBytes(700_000) }])] });
  references = ['a', 'b', 'c'].map((name) => `${registry.host}/${name}`);
});
beforeEach(() => registry.reset());

const leftovers = (root: string): string[] => ['tmp', 'leases', 'lock'].flatMap((d) => readdirSync(path.join(root, d)));

/** Everything that is there is right, and what is missing comes by pulling. */
async function expectSound(root: string, way: Way = 'tar bytes'): Promise<void> {
  const sink = sinkOf(way);
  const store = await ImageStore.open({ root });
  expect(await store.verify()).toMatchObject({ damaged: [], incomplete: [] });
  for (const reference of references) {
    const image = await store.pull(reference, { auth: false, sink });
    expect(await store.unpack(image, sink)).toHaveLength(2);
  }
  expect(await store.verify()).toMatchObject({ damaged: [], incomplete: [] });
  expect(leftovers(root)).toEqual([]);
}

it.each(WAYS)(
  `kill -9 at ${KILLS} random moments of pulls, commits, removals and collections (%s, seed ${SEED})`,
  async (way) => {
    const root = path.join(makeTempDir('kills'), 'store');
    const next = random(SEED);
    const work = `${begin(way)}
    const layer = () => packTar([{ type: 'file', path: 'x', content: 'y'.repeat(300000) }]);
    // The other process may have removed the image since, and collected it.
    const unlessGone = (error) => { if (error.code !== 'CTR_IMAGE_NOT_FOUND') throw error; };
    const lane = async (reference, i) => {
      for (let n = 0; ; n++) {
        const image = await store.pull(reference, options);
        if (n % 2) await store.commit(image, { reference: 'localhost/made' + i, changes: layer(), sink }).catch(unlessGone);
        if (n % 3 === 1) await store.remove(reference);
        if (n % 3 === 2) await store.gc();
      }
    };
    console.log('begun');
    await Promise.all(args.references.map(lane));`;
    let cut = 0;
    for (let killed = 0; killed < KILLS; killed += 2) {
      const children = [1, 2].map(() => runNode(lib, work, { root, references }));
      await Promise.all(children.map((c) => c.said('begun')));
      for (const c of children) {
        await sleep(next() * 120 * slowness);
        c.process.kill('SIGKILL');
      }
      for (const c of children) await expect(c.done).rejects.toThrow('SIGKILL');
      cut += readdirSync(path.join(root, 'tmp')).length > 0 ? 1 : 0;
      await expectSound(root, way);
      const store = await ImageStore.open({ root });
      // Each round begins with another state: sometimes everything is there, sometimes nothing.
      for (const image of await store.list()) if (next() < 0.6) await store.remove(image.reference);
      await store.gc();
    }
    // Some of the moments were in the middle of something, or the test shows nothing.
    expect(cut).toBeGreaterThan(0);
  },
  600_000,
);

host.define('prlimit', { test: () => existsSync('/usr/bin/prlimit') || existsSync('/bin/prlimit'), cure: 'apt-get install util-linux' });
const p = need('prlimit');
describe.skipIf(!p.ok)(p.title('too few file descriptors'), () => {
  const spares = slowness > 1 ? [0, 2, 8] : [0, 1, 2, 3, 5, 8];
  const cases = WAYS.flatMap((way) => spares.map((spare) => [spare, way] as const));
  it.each(cases)('%d more than are open: a typed error or success, and a sound store (%s)', async (spare, way) => {
    const root = path.join(makeTempDir('fds'), 'store');
    const script = `${begin(way)}
      import { execFileSync } from 'node:child_process';
      import { readdirSync } from 'node:fs';
      const limit = readdirSync('/proc/self/fd').length - 1 + args.spare;
      execFileSync('prlimit', ['--pid', String(process.pid), '--nofile=' + limit + ':' + limit]);
      const results = await Promise.all(args.references.map((r) => store.pull(r, options).then(() => 'pulled', (e) => e.code + (e.cause ? ' ' + (e.cause.code ?? '') : ''))));
      console.log(JSON.stringify(results));`;
    const results = JSON.parse(await runNode(lib, script, { root, references, spare }).done) as string[];
    // Without a descriptor neither the registry nor the store can be reached; the code says which it was.
    for (const result of results) expect(result).toMatch(/^(pulled|EMFILE.*|CTR_IMAGE_REGISTRY .*|CTR_CLEANUP_FAILED.*)$/);
    if (spare === 0) expect(results).not.toContain('pulled');
    await expectSound(root, way);
  });
});

const n = need('root');
describe.skipIf(!n.ok)(n.title('a disk that fills up'), () => {
  it.each(WAYS)('under parallel pulls: ENOSPC, then a sound store on a larger disk (%s)', async (way) => {
    const root = path.join(makeTempDir('full'), 'store');
    const script = `${begin(way)}
      import { execFileSync } from 'node:child_process';
      const tries = await Promise.all(args.references.map((r) => store.pull(r, options).then(() => 'pulled', (e) => e.code)));
      const sound = await store.verify();
      execFileSync('mount', ['-o', 'remount,size=64m', args.mount]);
      const again = await Promise.all(args.references.map((r) => store.pull(r, options).then(() => 'pulled', (e) => e.code)));
      console.log(JSON.stringify({ tries, damaged: sound.damaged, incomplete: sound.incomplete, again, after: (await store.verify()).damaged }));`;
    const mount = path.dirname(root);
    const wrap = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o size=6m tmpfs "$0" && exec "$@"', mount];
    const out = JSON.parse(await runNode(lib, script, { root, references, mount }, wrap).done);
    expect(out).toMatchObject({ damaged: [], incomplete: [], again: ['pulled', 'pulled', 'pulled'], after: [] });
    expect(out.tries).toContain('ENOSPC');
  });
});

describe('verify', () => {
  it('finds what was changed on disk, takes it away when asked, and pulling brings it back', async () => {
    const root = path.join(makeTempDir('verify'), 'store');
    await expectSound(root);
    const store = await ImageStore.open({ root });
    const image = await store.find(references[0] as string);
    const blob = path.join(root, 'blobs/sha256', image?.layers[1]?.digest.slice(7) as string);
    const bytes = readFileSync(blob);
    bytes[bytes.length - 20] = (bytes.at(-20) as number) ^ 0x40;
    writeFileSync(blob, bytes);
    const tree = path.join(root, 'layers/sha256', image?.layers[1]?.diffId.slice(7) as string);
    writeFileSync(path.join(tree, 'layer.json'), '{');
    const found = await store.verify();
    expect(found.damaged.map((d) => d.kind)).toEqual(['blob', 'layer']);
    expect(found.incomplete).toEqual([]);
    expect((await store.verify({ repair: true })).incomplete).toEqual([
      { reference: `${references[0]}:latest`, missing: [image?.layers[1]?.digest] },
    ]);
    await store.pull(references[0] as string, { auth: false, sink: spoolSink(), policy: 'always' });
    await expectSound(root);
    const stop = new AbortController();
    stop.abort();
    await expect(store.verify({ signal: stop.signal })).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('df says what is used, shared and free to go', async () => {
    const root = path.join(makeTempDir('df'), 'store');
    await expectSound(root);
    const store = await ImageStore.open({ root });
    const before = await store.df();
    expect(before.images).toHaveLength(3);
    for (const image of before.images) {
      expect(image.bytes).toBeGreaterThan(2_000_000);
      expect(image.unique).toBeGreaterThan(600_000);
      expect(image.unique).toBeLessThan(1_000_000);
    }
    expect(before.blobs).toMatchObject({ count: 10, reclaimable: 0 });
    expect(before.layers).toMatchObject({ count: 4, reclaimable: 0 });
    await store.remove(references[0] as string);
    const { blobs, layers } = await store.df();
    expect(blobs.reclaimable).toBeGreaterThan(700_000);
    expect(layers.reclaimable).toBeGreaterThan(700_000);
    await store.gc();
    const after = await store.df();
    expect(after.blobs.bytes).toBe(blobs.bytes - blobs.reclaimable);
    expect(after.layers.bytes).toBe(layers.bytes - layers.reclaimable);
  });
});
