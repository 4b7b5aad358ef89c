// The pipeline of one layer: everything is verified before it resolves, and nothing goes on after it has failed.
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type Digest, digestOf } from '../digest.js';
import { type LayerRun, type LayerUnpack, runLayer } from './layer.js';
import type { LayerBlobResult, LayerBlobWriter, LayerWriter } from './layer-sink.js';

const tar = randomBytes(700_000);
const blob = zlib.gzipSync(tar, { level: 1 });

interface Result {
  written: Buffer[];
  ended: boolean;
  compressed: number;
}

/** A target whose sink takes the archive's bytes. */
const into =
  (writer: LayerWriter): LayerUnpack['open'] =>
  async () => ({ intake: { takes: 'tar', writer }, end: () => writer.end() });

function make(change: Partial<LayerRun> & { unpackChange?: Partial<NonNullable<LayerRun['unpack']>> } = {}): {
  run: LayerRun;
  result: Result;
} {
  const result: Result = { written: [], ended: false, compressed: 0 };
  const writer = {
    write: async (chunk: Uint8Array) => void result.written.push(Buffer.from(chunk)),
    end: async () => {
      result.ended = true;
    },
    abort: async () => undefined,
  };
  const unpack = {
    open: into(writer),
    diffId: digestOf(tar),
    limits: { maxLayerBytes: 2 ** 40, maxRatio: 1000 },
    onBytes: () => undefined,
    ...change.unpackChange,
  };
  const { unpackChange: _, ...rest } = change;
  const run: LayerRun = {
    source: () => batches(blob),
    digest: digestOf(blob),
    size: blob.length,
    blob: undefined,
    unpack,
    onBytes: (n) => {
      result.compressed = n;
    },
    signal: new AbortController().signal,
    ...rest,
  };
  return { run, result };
}

async function* batches(bytes: Uint8Array, size = 100_000): AsyncGenerator<Uint8Array[]> {
  for (let i = 0; i < bytes.length; i += size) yield [bytes.subarray(i, i + size / 2), bytes.subarray(i + size / 2, i + size)];
}

describe('runLayer', () => {
  it('hands the uncompressed bytes to the sink', async () => {
    const { run, result } = make();
    await runLayer(run);
    expect(Buffer.concat(result.written).equals(tar)).toBe(true);
    expect(result).toMatchObject({ ended: true, compressed: blob.length });
  });

  it('verifies by sha512 as well', async () => {
    const sha512 = (b: Buffer): Digest => `sha512:${createHash('sha512').update(b).digest('hex')}` as Digest;
    const { run } = make({ digest: sha512(blob), unpackChange: { diffId: sha512(tar) } });
    await runLayer(run);
  });

  it.each<[string, Parameters<typeof make>[0]]>([
    ['another digest', { digest: digestOf('other') }],
    ['another diffID', { unpackChange: { diffId: digestOf('other') } }],
    ['a body that is too long', { size: blob.length - 1 }],
    ['a body that is too short', { size: blob.length + 1 }],
    ['an empty body', { source: () => batches(Buffer.alloc(0)) }],
    ['bytes behind the gzip member', { source: () => batches(Buffer.concat([blob, Buffer.alloc(4)])), size: blob.length + 4 }],
  ])('refuses %s', async (_, change) => {
    const { run, result } = make(change);
    await expect(runLayer(run)).rejects.toMatchObject({ code: 'CTR_IMAGE_DIGEST_MISMATCH' });
    expect(result.ended).toBe(false);
  });

  it('counts padding behind the gzip member into the digest', async () => {
    const padded = Buffer.concat([blob, Buffer.alloc(300_000)]);
    const { run, result } = make({ source: () => batches(padded), size: padded.length, digest: digestOf(padded) });
    await runLayer(run);
    expect(result).toMatchObject({ ended: true, compressed: padded.length });
  });

  it('stops at the byte limit', async () => {
    const { run, result } = make({ unpackChange: { limits: { maxLayerBytes: 300_000, maxRatio: 1000 } } });
    await expect(runLayer(run)).rejects.toMatchObject({ code: 'CTR_IMAGE_LIMIT' });
    expect(Buffer.concat(result.written).length).toBeLessThanOrEqual(300_000);
  });

  it('stops at a bomb’s ratio once a gibibyte came out', async () => {
    const zeros = zlib.gzipSync(Buffer.alloc(64 * 1024 * 1024), { level: 9 });
    // Members one after another: 1.5 GiB of zeros in 1.5 MiB.
    const bomb = Buffer.concat(Array.from({ length: 24 }, () => zeros));
    let bytes = 0;
    const writer = {
      write: async (c: Uint8Array) => {
        bytes += c.length;
      },
      end: async () => undefined,
      abort: async () => undefined,
    };
    const { run } = make({
      source: () => batches(bomb),
      size: bomb.length,
      digest: digestOf(bomb),
      unpackChange: { open: into(writer), limits: { maxLayerBytes: 2 ** 40, maxRatio: 400 } },
    });
    await expect(runLayer(run)).rejects.toMatchObject({ code: 'CTR_IMAGE_LIMIT' });
    expect(bytes).toBeLessThan(1.1 * 2 ** 30);
  });

  it('stops the source when the sink fails, and reports the sink’s error', async () => {
    let stopped = false;
    const source = async function* (signal: AbortSignal): AsyncGenerator<Uint8Array[]> {
      yield [blob.subarray(0, 200_000)];
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('connection closed'))));
    };
    const writer = {
      write: async () => {
        throw Object.assign(new Error('disk full'), { code: 'ENOSPC' });
      },
      end: async () => undefined,
      abort: async () => undefined,
    };
    const { run } = make({
      source: (signal) => {
        signal.addEventListener('abort', () => {
          stopped = true;
        });
        return source(signal);
      },
      unpackChange: { open: into(writer) },
    });
    await expect(runLayer(run)).rejects.toThrow('disk full');
    expect(stopped).toBe(true);
  });

  it('ends when the signal fires, however the source waits', async () => {
    const stop = new AbortController();
    const source = async function* (signal: AbortSignal): AsyncGenerator<Uint8Array[]> {
      yield [blob.subarray(0, 1000)];
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('connection closed'))));
    };
    const { run, result } = make({ source, signal: stop.signal });
    const running = runLayer(run);
    await sleep(10);
    stop.abort('enough');
    await expect(running).rejects.toThrow();
    expect(result.ended).toBe(false);
  });

  it('lets a slow sink slow the source down', async () => {
    let sent = 0;
    let taken = 0;
    let most = 0;
    const big = randomBytes(6_000_000);
    const source = async function* (): AsyncGenerator<Uint8Array[]> {
      for await (const batch of batches(big, 200_000)) {
        sent += batch.reduce((n, c) => n + c.length, 0);
        most = Math.max(most, sent - taken);
        yield batch;
      }
    };
    const writer = {
      write: async (c: Uint8Array) => {
        await sleep(1);
        taken += c.length;
      },
      end: async () => undefined,
      abort: async () => undefined,
    };
    const { run } = make({ source, size: big.length, digest: digestOf(big), unpackChange: { open: into(writer), diffId: digestOf(big) } });
    await runLayer(run);
    expect(taken).toBe(big.length);
    expect(most).toBeLessThan(1_000_000);
  });

  describe('with a sink that takes blobs', () => {
    const found: LayerBlobResult = { digest: digestOf(blob), diffId: digestOf(tar) };

    function makeBlob(result: LayerBlobResult, change: Partial<LayerBlobWriter> = {}) {
      const got: Buffer[] = [];
      const asked: string[] = [];
      const writer: LayerBlobWriter = {
        write: async (chunk) => void got.push(Buffer.from(chunk)),
        end: async () => result,
        abort: async () => undefined,
        unpackedBytes: 7,
        ...change,
      };
      const open: LayerUnpack['open'] = async (compression) => {
        asked.push(compression);
        return { intake: { takes: 'blob', writer }, end: () => writer.end() };
      };
      return { got, asked, open };
    }

    it('hands the blob on as it comes, and says how it is compressed', async () => {
      const unpacked: number[] = [];
      const { got, asked, open } = makeBlob(found);
      const { run, result } = make({ unpackChange: { open, onBytes: (n) => unpacked.push(n) } });
      await runLayer(run);
      expect(Buffer.concat(got).equals(blob)).toBe(true);
      expect(asked).toEqual(['gzip']);
      expect(result.compressed).toBe(blob.length);
      expect(new Set(unpacked)).toEqual(new Set([7]));
    });

    it('knows the compression also of a blob that comes byte by byte', async () => {
      const { got, asked, open } = makeBlob({ digest: digestOf(blob.subarray(0, 9)), diffId: digestOf(tar) });
      const { run } = make({
        source: () => batches(blob.subarray(0, 9), 2),
        size: 9,
        digest: digestOf(blob.subarray(0, 9)),
        unpackChange: { open },
      });
      await runLayer(run);
      expect(Buffer.concat(got).equals(blob.subarray(0, 9))).toBe(true);
      expect(asked).toEqual(['gzip']);
    });

    it('believes no sink that found something else', async () => {
      for (const wrong of [{ ...found, digest: digestOf(tar) }, { ...found, diffId: digestOf(blob) }, undefined as unknown as typeof found])
        await expect(runLayer(make({ unpackChange: { open: makeBlob(wrong).open } }).run)).rejects.toMatchObject({
          code: 'CTR_IMAGE_DIGEST_MISMATCH',
        });
    });

    it('never ends a layer that is too short or too long', async () => {
      for (const size of [blob.length - 1, blob.length + 1]) {
        const open = makeBlob(found, { end: () => Promise.reject(new Error('ended')) }).open;
        await expect(runLayer(make({ size, unpackChange: { open } }).run)).rejects.toMatchObject({ code: 'CTR_IMAGE_DIGEST_MISMATCH' });
      }
    });

    it('stops the source when the sink cannot go on', async () => {
      let closed = false;
      async function* source(): AsyncGenerator<Uint8Array[]> {
        try {
          for (;;) yield [blob.subarray(0, 1000)];
        } finally {
          closed = true;
        }
      }
      const full = Object.assign(new Error('no room'), { code: 'ENOSPC' });
      const { open } = makeBlob(found, { write: () => Promise.reject(full) });
      await expect(runLayer(make({ source, unpackChange: { open } }).run)).rejects.toBe(full);
      expect(closed).toBe(true);
    });
  });
});
