// Compressed layers over native threads: the same layer as by the writer, and nothing left of a bad one.

import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import {
  type LayerPipelineOptions,
  type LayerPipelineStats,
  openLayerPipeline,
  openLayerWriter,
  pipelineDecompressors,
} from '../src/index.js';
import './gzip-needs.js';
import { archive, dir, file, hardlink, symlink } from './tar-builder.js';
import { isRoot, tree } from './trees.js';

const found = process.platform === 'linux' ? pipelineDecompressors() : undefined;
host.define('native-zstd', { test: () => found?.zstd !== undefined, cure: 'apt-get install libzstd1' });
host.define('zstd-program', { test: () => execFileSync('zstd', ['--version']).length > 0, cure: 'apt-get install zstd' });
/** Where ISA-L is, it inflates unless told otherwise; both must take and refuse the same. */
const READERS = [
  ['zlib', need('linux', 'native-gzip')],
  ['isa-l', need('linux', 'native-gzip', 'isa-l')],
] as const;
const zstd = need('linux', 'native-zstd', 'zstd-program');

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const noise = randomBytes(1_500_000);
const TAR = archive(
  dir('d'),
  file('d/big', Buffer.concat([noise, Buffer.alloc(5_000_000)])),
  hardlink('d/link', 'd/big'),
  symlink('soft', 'd/big'),
  ...Array.from({ length: 40 }, (_, i) => file(`d/${i}`, 'x'.repeat(i * 7))),
);

async function runBy(
  blob: Uint8Array,
  options: Partial<LayerPipelineOptions> = {},
  step = 65_536,
): Promise<{ directory: string; stats: LayerPipelineStats }> {
  const directory = path.join(makeTempDir('pipeline'), 'l');
  await using pipeline = openLayerPipeline(directory, { userxattr: !isRoot, form: 'dir', sync: false, ...options });
  for (let at = 0; at < blob.length; at += step) await pipeline.write(blob.subarray(at, at + step));
  return { directory, stats: await pipeline.end() };
}

async function refusedBy(blob: Uint8Array, options: Partial<LayerPipelineOptions> = {}): Promise<{ code: string; message: string }> {
  const directory = path.join(makeTempDir('pipeline'), 'l');
  const pipeline = openLayerPipeline(directory, { userxattr: !isRoot, sync: false, ...options });
  try {
    for (let at = 0; at < blob.length; at += 100_000) await pipeline.write(blob.subarray(at, at + 100_000));
    await pipeline.end();
  } catch (e) {
    expect(existsSync(directory), 'nothing half-made remains').toBe(false);
    await expect(pipeline.end()).rejects.toBe(e);
    return e as { code: string; message: string };
  }
  throw new Error('it was accepted');
}

for (const [reader, gzip] of READERS)
  describe.skipIf(!gzip.ok)(gzip.title(`a layer over native threads, by ${reader}`), () => {
    const run = (blob: Uint8Array, options: Partial<LayerPipelineOptions> = {}, step?: number) =>
      runBy(blob, { gzip: reader, ...options }, step);
    const refused = (blob: Uint8Array, options: Partial<LayerPipelineOptions> = {}) => refusedBy(blob, { gzip: reader, ...options });

    for (const [name, blob] of [
      ['gzip', gzipSync(TAR)],
      [
        'gzip in three members',
        Buffer.concat([TAR.subarray(0, 100), TAR.subarray(100, 4_000_000), TAR.subarray(4_000_000)].map((part) => gzipSync(part))),
      ],
      ['gzip with padding', Buffer.concat([gzipSync(TAR), Buffer.alloc(1000)])],
      ['plain', TAR],
    ] as const)
      it(`is the same as by the writer: ${name}`, async () => {
        const expected = path.join(makeTempDir('writer'), 'l');
        await using writer = openLayerWriter(expected, { userxattr: !isRoot, sync: false });
        await writer.write(TAR);
        const stats = await writer.end();
        const verified = { digest: sha256(blob), size: blob.length, diffId: sha256(TAR) };
        for (const step of [blob.length, 10_000]) {
          const made = await run(blob, verified, step);
          expect(made.stats).toEqual({ ...stats, ...verified });
          expect([...tree(made.directory)]).toEqual([...tree(expected)]);
        }
      });

    it('is the same file as by the writer in the form erofs', async () => {
      const expected = path.join(makeTempDir('writer'), 'l');
      await using writer = openLayerWriter(expected, { form: 'erofs', userxattr: false, sync: false });
      await writer.write(TAR);
      await writer.end();
      const { directory } = await run(gzipSync(TAR), { form: 'erofs', userxattr: false });
      expect(readFileSync(path.join(directory, 'layer.erofs')).equals(readFileSync(path.join(expected, 'layer.erofs')))).toBe(true);
    });

    it('takes a blob one byte at a time', async () => {
      const small = gzipSync(archive(file('a', 'b')));
      expect((await run(small, {}, 1)).stats).toMatchObject({ digest: sha256(small), entries: 1 });
    });

    it('refuses what is not as it should be', async () => {
      const blob = gzipSync(TAR);
      const mismatch = { code: 'CTR_IMAGE_DIGEST_MISMATCH' };
      expect(await refused(blob, { digest: sha256(TAR) })).toMatchObject(mismatch);
      expect(await refused(blob, { diffId: sha256(blob) })).toMatchObject(mismatch);
      expect(await refused(blob, { size: blob.length + 1 })).toMatchObject(mismatch);
      expect(await refused(blob, { size: blob.length - 1 })).toMatchObject(mismatch);
    });

    it('tells damage on the way from damage that was made', async () => {
      const blob = gzipSync(TAR);
      const damaged = Buffer.from(blob);
      damaged.fill(0xff, 1_000_000, 1_000_100);
      expect(await refused(damaged, { digest: sha256(blob) })).toMatchObject({ code: 'CTR_IMAGE_DIGEST_MISMATCH' });
      expect(await refused(damaged, { digest: sha256(damaged) })).toMatchObject({
        code: 'CTR_IMAGE_INVALID',
        message: expect.stringContaining('gzip'),
      });
      expect(await refused(blob.subarray(0, -500))).toMatchObject({ code: 'CTR_IMAGE_INVALID', message: expect.stringContaining('ends') });
      expect(await refused(Buffer.concat([blob, Buffer.from('x')]))).toMatchObject({ code: 'CTR_IMAGE_INVALID' });
    });

    it('tells what keeps it from going on before the blob is over', async () => {
      const pipeline = openLayerPipeline(path.join(makeTempDir('pipeline'), 'l'), { userxattr: !isRoot, limits: { entries: 1 } });
      let told: unknown;
      // Endless: only an error ends this.
      for (let i = 0; told === undefined; i++)
        told = await pipeline.write(archive(file(`f${i}`, noise)).subarray(0, -1024)).catch((e) => e);
      expect(told).toMatchObject({ code: 'CTR_IMAGE_LIMIT' });
      await expect(pipeline.write(noise)).rejects.toBe(told);
      await expect(pipeline.end()).rejects.toBe(told);
      await pipeline.abort();
    });

    it('refuses an archive in the middle, a bomb, and a directory that is not empty', async () => {
      expect(await refused(gzipSync(archive(file('a'), file('../b'), file('c', noise))))).toMatchObject({ code: 'CTR_IMAGE_INVALID' });
      expect(await refused(gzipSync(archive(file('zeros', Buffer.alloc(50_000_000)))), { limits: { bytes: 10_000_000 } })).toMatchObject({
        code: 'CTR_IMAGE_LIMIT',
      });
      const directory = makeTempDir('full');
      await using pipeline = openLayerPipeline(path.dirname(directory), { userxattr: !isRoot });
      await expect(pipeline.end()).rejects.toMatchObject({ code: 'ENOTEMPTY' });
    });

    it('can be stopped at any time', async () => {
      const blob = gzipSync(TAR);
      for (const share of [0, 0.3, 1]) {
        const directory = path.join(makeTempDir('stopped'), 'l');
        const pipeline = openLayerPipeline(directory, { userxattr: !isRoot });
        await pipeline.write(blob.subarray(0, blob.length * share));
        await pipeline.abort();
        expect(existsSync(directory)).toBe(false);
        await expect(pipeline.write(blob)).rejects.toMatchObject({ code: 'ABORT_ERR' });
        await expect(pipeline.end()).rejects.toMatchObject({ code: 'ABORT_ERR' });
      }
    });

    it('runs several at once', async () => {
      const blob = gzipSync(TAR);
      const all = await Promise.all(Array.from({ length: 6 }, () => run(blob, { form: 'erofs', userxattr: false })));
      expect(new Set(all.map(({ stats }) => stats.diffId))).toEqual(new Set([sha256(TAR)]));
    });
  });

describe.skipIf(!zstd.ok)(zstd.title('a zstd layer over native threads'), () => {
  const compress = (bytes: Uint8Array, ...args: string[]): Buffer =>
    execFileSync('zstd', ['-c', ...args], { input: bytes, maxBuffer: 2 ** 26 });

  it('is read in one frame, several, and with frames to skip', async () => {
    const skip = Buffer.concat([Buffer.from('502a4d1804000000', 'hex'), Buffer.from('skip')]);
    for (const blob of [
      compress(TAR),
      Buffer.concat([compress(TAR.subarray(0, 3_000_000)), skip, compress(TAR.subarray(3_000_000))]),
      Buffer.concat([skip, compress(TAR)]),
    ])
      expect((await runBy(blob)).stats).toMatchObject({ digest: sha256(blob), diffId: sha256(TAR), entries: 44 });
  });

  it('refuses damage and an end in the middle', async () => {
    const blob = compress(TAR);
    const damaged = Buffer.from(blob);
    damaged.fill(0xff, 1_000_000, 1_000_100);
    expect(await refusedBy(damaged)).toMatchObject({ code: 'CTR_IMAGE_INVALID' });
    expect(await refusedBy(blob.subarray(0, -500))).toMatchObject({ code: 'CTR_IMAGE_INVALID' });
  });
});
