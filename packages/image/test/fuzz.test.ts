// Random damage to everything that comes from outside: each ends in a result or a typed error, never in another exception or a hang.
// CTR_FUZZ_MS says how long each target runs (default 400 ms), CTR_SEED which inputs it gets: one number, so that a red run is one that
// the change made; look for more with `CTR_FUZZ_MS=60000 CTR_SEED=$RANDOM`.
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import zlib from 'node:zlib';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../src/digest.js';
import { parseImageConfig } from '../src/document/config.js';
import { parseDocument } from '../src/document/manifest.js';
import { OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from '../src/document/media-types.js';
import { readReferrers } from '../src/document/referrers.js';
import { FlattenPlan } from '../src/flatten/plan.js';
import { CtrError, ImageError, parseReference, type TarEntry } from '../src/index.js';
import { parseChallenges } from '../src/registry/challenge.js';
import { nextLink } from '../src/registry/listing.js';
import { parseProxy, proxyRules } from '../src/registry/proxy.js';
import { parseRetryAfter } from '../src/registry/retry.js';
import { ArchiveIndex } from '../src/tar/index-archive.js';
import { readTar } from '../src/tar/read.js';
import { rewrite } from '../src/tar/rewrite.js';
import { decompress } from '../src/unpack/decompress.js';
import { zstdDecompress } from '../src/unpack/zstd.js';
import { LocalEngine } from '../src/unpack/zstd-engine.js';
import { tarOf } from './support/fake-registry.js';

const RUN_MS = Number(process.env['CTR_FUZZ_MS'] ?? 400);
const SEED = Number(process.env['CTR_SEED'] ?? 1);
/** No input here is longer than some kilobytes: whatever takes this long does not end by itself. */
const HANG_MS = 20_000;

class Dice {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

/** Flips, cuts, repeats, removes and replaces some bytes; now and then with values that parsers stumble over. */
function damage(bytes: Buffer, dice: Dice): Buffer {
  let out: Buffer = Buffer.from(bytes);
  for (let i = dice.below(6); i >= 0; i--) {
    const at = dice.below(out.length + 1);
    const length = dice.below(40);
    const special = Buffer.from(
      dice.pick([
        '',
        '\0',
        '\xff\xff\xff\xff',
        '99999999999',
        '-1',
        '"',
        '{',
        '[',
        '\\',
        '=',
        ',',
        ' ',
        '..',
        '/',
        '1e999',
        'null',
        '\x80\x00\x00\x01',
      ]),
      'latin1',
    );
    const kind = dice.below(6);
    if (kind === 0 && at < out.length) out[at] = (out[at] as number) ^ (1 << dice.below(8));
    else if (kind === 1) out = out.subarray(0, at);
    else if (kind === 2) out = Buffer.concat([out.subarray(0, at), special, out.subarray(at)]);
    else if (kind === 3) out = Buffer.concat([out.subarray(0, at), special, out.subarray(at + special.length)]);
    else if (kind === 4) out = Buffer.concat([out.subarray(0, at), out.subarray(at + length)]);
    else out = Buffer.concat([out.subarray(0, at), out.subarray(Math.max(0, at - length), at), out.subarray(at)]);
  }
  return out;
}

/** Runs a target on damaged samples; what it throws must be one of our errors. */
async function fuzz(samples: readonly Buffer[], target: (input: Buffer) => unknown): Promise<void> {
  const dice = new Dice(SEED);
  const end = performance.now() + RUN_MS;
  let runs = 0;
  let input: Buffer = Buffer.alloc(0);
  try {
    while (performance.now() < end || runs < 50) {
      input = damage(dice.pick(samples), dice);
      const began = performance.now();
      await Promise.resolve(target(input)).catch((error: unknown) => {
        if (!(error instanceof CtrError)) throw error;
      });
      expect(performance.now() - began).toBeLessThan(HANG_MS);
      runs++;
    }
  } catch (error) {
    throw new Error(`seed ${SEED}, run ${runs}, input ${input.toString('base64').slice(0, 4000)}`, { cause: error });
  }
}

/** Right checksums again, so that the damage gets past them. */
function sealed(tar: Buffer): Buffer {
  for (let at = 0; at + 512 <= tar.length; at += 512) {
    const block = tar.subarray(at, at + 512);
    if (block.toString('latin1', 257, 262) !== 'ustar') continue;
    block.fill(' ', 148, 156);
    const sum = block.reduce((a, b) => a + b, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
  return tar;
}

const stream = async function* (bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 700) yield bytes.subarray(at, at + 700);
};

const entries: TarEntry[] = [
  { type: 'directory', path: 'd' },
  { type: 'file', path: 'd/a', content: 'content' },
  { type: 'hardlink', path: 'h', target: 'd/a' },
  { type: 'symlink', path: 'l', target: 'd' },
  { type: 'file', path: `${'x'.repeat(120)}/ü`, content: 'y'.repeat(600), uid: 4_000_000_000 },
  { type: 'file', path: 'd/.wh.a', content: '' },
  { type: 'file', path: 'd/.wh..wh..opq', content: '' },
];

describe(`fuzz (seed ${SEED})`, { timeout: 30_000 + 20 * RUN_MS }, () => {
  it('tar: entries of a stream, and what flattening makes of them', async () => {
    const tar = await tarOf(entries);
    await fuzz([tar, tar.subarray(0, 2048)], async (input) => {
      const plan = new FlattenPlan();
      plan.beginLayer();
      for await (const member of readTar(stream(sealed(input)))) {
        plan.add(member);
        const again = [];
        for await (const m of readTar(stream(Buffer.from(rewrite(member, { path: 'new/name', linkTo: 'x' }))))) again.push(m);
        expect(again).toMatchObject([{ path: 'new/name', type: '1', target: 'x', size: 0 }]);
      }
      for (const [, inode] of plan.finish()[0] ?? []) for (const name of inode.paths) expect(name.split('/')).not.toContain('..');
    });
  });

  it('tar: the list of an archive', async () => {
    const tar = await tarOf(entries);
    const file = path.join(makeTempDir('fuzz'), 'a.tar');
    await fuzz([tar], async (input) => {
      writeFileSync(file, sealed(input));
      const handle = await open(file);
      try {
        const index = await ArchiveIndex.read(handle, input.length);
        const member = index.find('h');
        if (member) expect(member.offset + member.size).toBeLessThanOrEqual(input.length);
      } finally {
        await handle.close();
      }
    });
  });

  it('gzip and zstd: framing', async () => {
    const plain = await tarOf(entries);
    const zstd = Buffer.from('KLUv/SQNaQAAaGVsbG8sIHdvcmxkIWyMOlI=', 'base64');
    const two = Buffer.concat([zlib.gzipSync(plain), zlib.gzipSync(Buffer.from('more'))]);
    const read = async (source: AsyncIterable<Uint8Array>): Promise<void> => {
      let bytes = 0;
      for await (const chunk of source) {
        bytes += chunk.length;
        if (bytes > 10_000_000) break;
      }
    };
    await fuzz([two, zlib.gzipSync(plain)], (input) => read(decompress(stream(input))));
    await fuzz([zstd, Buffer.concat([Buffer.from('502a4d1804000000abcdefab', 'hex'), zstd, zstd])], async (input) => {
      await read(zstdDecompress(stream(input))).catch((error: unknown) => {
        if (!(error instanceof ImageError)) throw error;
      });
      await read(zstdDecompress(stream(input), false, () => new LocalEngine()));
    });
  });

  it('JSON documents: manifests, indexes, configs, referrers', async () => {
    const descriptor = { mediaType: OCI_CONFIG, digest: digestOf('a'), size: 3, annotations: { a: 'b' } };
    const documents = [
      {
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        config: descriptor,
        layers: [{ ...descriptor, mediaType: OCI_LAYER_GZIP }],
        annotations: {},
      },
      {
        schemaVersion: 2,
        mediaType: OCI_INDEX,
        manifests: [{ ...descriptor, platform: { os: 'linux', architecture: 'arm', variant: 'v7' } }],
      },
      {
        os: 'linux',
        architecture: 'amd64',
        config: { Env: ['A=1'], Cmd: ['x'], Volumes: { '/a': {} } },
        rootfs: { type: 'layers', diff_ids: [digestOf('b')] },
      },
    ].map((d) => Buffer.from(JSON.stringify(d)));
    await fuzz(
      documents,
      sync((input) => parseDocument(input, OCI_MANIFEST)),
    );
    await fuzz(
      documents,
      sync((input) => parseDocument(input, undefined)),
    );
    await fuzz(
      documents,
      sync((input) => parseImageConfig(input)),
    );
    await fuzz(
      documents,
      sync((input) => readReferrers(input)),
    );
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('headers: WWW-Authenticate, Link, Retry-After', async () => {
    const headers = [
      'Bearer realm="https://a.example/token",service="registry",scope="repository:a/b:pull,push"',
      'Basic realm="x", Bearer realm="y", Negotiate abc==, Digest a=b,c="d\\"e"',
      '</v2/a/tags/list?n=1&last=b>; rel="next"; title="x, y", <z>; rel=prev',
      'Fri, 21 Nov 2025 10:00:00 GMT',
      `${'a='.repeat(3000)}`,
      `Bearer ${'realm="'.repeat(2000)}`,
      `${'<a>; rel'.repeat(1500)}`,
    ].map((h) => Buffer.from(h, 'latin1'));
    await fuzz(
      headers,
      sync((input) => {
        const text = input.toString('latin1');
        for (const { scheme, parameters } of parseChallenges(text)) {
          expect(scheme).toBe(scheme.toLowerCase());
          expect(parameters.size).toBeLessThan(10_000);
        }
        nextLink(text);
        const pause = parseRetryAfter(text);
        expect(pause === undefined || pause >= 0).toBe(true);
      }),
    );
  });

  it('references and proxies: what is accepted is accepted again, as the same', async () => {
    const names = [
      'debian:12',
      'ghcr.io/owner/app@sha256:'.padEnd(88, 'a'),
      'localhost:5000/a/b_c-d.e:T.a-g',
      '[::1]:5000/x',
      'http://u:p@proxy:3128',
      '.a.example,10.0.0.0/8,[fd00::1]:80',
    ];
    await fuzz(
      names.map((s) => Buffer.from(s)),
      sync((input) => {
        const text = input.toString('latin1');
        const url = new URL('https://r.example/');
        proxyRules('http://p:1', { NO_PROXY: text })(url);
        const parsed = parseReference(text);
        expect(parseReference(parsed.name)).toEqual(parsed);
        expect(parsed.name).toMatch(/^[\x21-\x7e]+$/);
        new URL(`https://${parsed.registry}/v2/${parsed.repository}/manifests/${parsed.tag ?? parsed.digest}`);
      }),
    );
    await fuzz(
      names.map((s) => Buffer.from(s)),
      sync((input) => parseProxy(input.toString('latin1'))),
    );
  });
});

/** A target that does not wait, as one that does: its exceptions are rejections. */
function sync(work: (input: Buffer) => unknown) {
  return async (input: Buffer): Promise<unknown> => work(input);
}
