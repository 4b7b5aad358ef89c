// gzip as RFC 1952 has it, and as it does not: what zlib takes ISA-L takes, and what would come out otherwise is refused by both.
import { createHash } from 'node:crypto';
import path from 'node:path';
import { crc32, deflateRawSync, gzipSync, constants as z } from 'node:zlib';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { openLayerPipeline, pipelineDecompressors } from '../src/index.js';
import './gzip-needs.js';
import { archive, file } from './tar-builder.js';

const both = need('linux', 'isa-l');

/** xorshift32: the same bytes in every run. */
function source(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function bytes(next: () => number, length: number, range: number): Buffer {
  return Buffer.from(Array.from({ length }, () => next() % range));
}

/** Compressible, incompressible, and runs that reach back as far as deflate can. */
const next = source(7);
const far = bytes(next, 33_000, 256);
const TAR = archive(
  file('text', bytes(next, 200_000, 7)),
  file('noise', bytes(next, 90_000, 256)),
  file('far', Buffer.concat([far, far, far.subarray(230), far])),
  file('zeros', Buffer.alloc(2_000_000)),
);

const FTEXT = 1;
const FHCRC = 2;
const FEXTRA = 4;
const FNAME = 8;
const FCOMMENT = 16;

interface MemberFields {
  flags?: number;
  method?: number;
  extra?: Uint8Array;
  name?: string;
  comment?: string;
  headerCrc?: number;
  body?: Uint8Array;
  crc?: number;
  length?: number;
}

/** A member, byte by byte. */
function member(content: Uint8Array, f: MemberFields = {}): Buffer {
  const flags = f.flags ?? 0;
  const length = Buffer.alloc(2);
  length.writeUInt16LE(f.extra?.length ?? 0);
  const head = Buffer.concat([
    Buffer.from([0x1f, 0x8b, f.method ?? 8, flags, 1, 2, 3, 4, 0, 3]),
    ...(flags & FEXTRA ? [length, f.extra ?? Buffer.alloc(0)] : []),
    ...(flags & FNAME ? [Buffer.from(`${f.name ?? ''}\0`, 'latin1')] : []),
    ...(flags & FCOMMENT ? [Buffer.from(`${f.comment ?? ''}\0`, 'latin1')] : []),
  ]);
  const headerCrc = Buffer.alloc(2);
  headerCrc.writeUInt16LE(f.headerCrc ?? crc32(head) & 0xffff);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(f.crc ?? crc32(content));
  trailer.writeUInt32LE((f.length ?? content.length) >>> 0, 4);
  return Buffer.concat([head, ...(flags & FHCRC ? [headerCrc] : []), f.body ?? deflateRawSync(content), trailer]);
}

type Outcome = { diffId: string } | { code: string };

async function outcome(blob: Uint8Array, gzip: 'isa-l' | 'zlib', step = blob.length): Promise<Outcome> {
  const directory = path.join(makeTempDir('gzip'), 'l');
  await using pipeline = openLayerPipeline(directory, { userxattr: false, form: 'erofs', sync: false, gzip });
  try {
    for (let at = 0; at < blob.length; at += step) await pipeline.write(blob.subarray(at, at + step));
    return { diffId: (await pipeline.end()).diffId };
  } catch (e) {
    return { code: (e as { code: string }).code };
  }
}

const WHOLE = { diffId: `sha256:${createHash('sha256').update(TAR).digest('hex')}` };
const INVALID = { code: 'CTR_IMAGE_INVALID' };
const cut = (at: number): Buffer[] => [TAR.subarray(0, at), TAR.subarray(at)];

/** What the format allows. */
const GOOD: Record<string, Buffer> = {
  'the lowest level': gzipSync(TAR, { level: 1 }),
  'the highest level': gzipSync(TAR, { level: 9 }),
  'stored blocks': gzipSync(TAR, { level: 0 }),
  'fixed codes only': gzipSync(TAR, { strategy: z.Z_FIXED }),
  'codes without matches': gzipSync(TAR, { strategy: z.Z_HUFFMAN_ONLY }),
  'a small window': gzipSync(TAR, { windowBits: 9, memLevel: 1 }),
  'every field of the header': member(TAR, {
    flags: FTEXT | FHCRC | FEXTRA | FNAME | FCOMMENT,
    extra: Buffer.alloc(65_535, 'x'),
    name: 'n'.repeat(5000),
    comment: 'c'.repeat(70_000),
  }),
  'empty fields of the header': member(TAR, { flags: FEXTRA | FNAME | FCOMMENT }),
  'empty members around': Buffer.concat([member(Buffer.alloc(0)), member(TAR), member(Buffer.alloc(0)), gzipSync('')]),
  'members of a few bytes': Buffer.concat([
    ...Array.from({ length: 300 }, (_, i) => member(TAR.subarray(i, i + 1))),
    member(TAR.subarray(300)),
  ]),
  'zeros behind': Buffer.concat([member(TAR), Buffer.alloc(100_000)]),
  'zeros and more behind': Buffer.concat([member(TAR), Buffer.alloc(1), Buffer.from('anything')]),
};

/** What it does not. */
const BAD: Record<string, Buffer> = {
  'another method': member(TAR, { method: 7 }),
  'reserved flag 5': member(TAR, { flags: 0x20 }),
  'reserved flag 7': member(TAR, { flags: 0x80 }),
  'reserved flags in the second member': Buffer.concat(cut(1000).map((part, i) => member(part, { flags: i === 0 ? 0 : 0x40 }))),
  'a wrong checksum of the header': member(TAR, { flags: FHCRC | FNAME, name: 'n', headerCrc: 1 }),
  'a wrong checksum': member(TAR, { crc: crc32(TAR) ^ 1 }),
  'a wrong checksum in the first member': Buffer.concat(cut(1000).map((part, i) => member(part, i === 0 ? { crc: 1 } : {}))),
  'a wrong length': member(TAR, { length: TAR.length + 1 }),
  'a wrong length in the second member': Buffer.concat(cut(1000).map((part, i) => member(part, i === 0 ? {} : { length: 1 }))),
  'a block of type 3': member(TAR, { body: Buffer.from([7]) }),
  'a stored length that denies itself': member(TAR, { body: Buffer.from([1, 5, 0, 5, 0, 1, 2, 3, 4, 5]) }),
  'a match from before the beginning': member(TAR, { body: Buffer.from([0x03, 0x02]) }),
  'a match from the member before': Buffer.concat([
    member(TAR.subarray(0, 1000)),
    member(TAR.subarray(1000), { body: Buffer.from([0x03, 0x02]) }),
  ]),
  'text behind': Buffer.concat([member(TAR), Buffer.from('text')]),
  'half a magic behind': Buffer.concat([member(TAR), Buffer.from([0x1f])]),
  'a header behind that ends': Buffer.concat([member(TAR), Buffer.from([0x1f, 0x8b, 8, 0, 0, 0])]),
  'no trailer': member(TAR).subarray(0, -8),
  'half a trailer': member(TAR).subarray(0, -3),
  'nothing but a header': member(TAR).subarray(0, 10),
};

describe.skipIf(!both.ok)(both.title('gzip by zlib and by ISA-L'), () => {
  const readers = ['zlib', 'isa-l'] as const;

  for (const [what, blob] of Object.entries(GOOD))
    it(`is read: ${what}`, async () => {
      for (const reader of readers)
        for (const step of [blob.length, 4099]) expect(await outcome(blob, reader, step), reader).toEqual(WHOLE);
    });

  for (const [what, blob] of Object.entries(BAD))
    it(`is refused: ${what}`, async () => {
      for (const reader of readers)
        for (const step of [blob.length, 4099]) expect(await outcome(blob, reader, step), reader).toEqual(INVALID);
    });

  it('is read wherever it is cut', async () => {
    // Bits that were read ahead belong to the next member, also when they came with an earlier piece.
    const small = archive(file('a', 'content'));
    const blob = Buffer.concat(
      [small.subarray(0, 3), small.subarray(3, 600), small.subarray(600)].map((part) => member(part, { flags: FNAME, name: 'n' })),
    );
    const expected = { diffId: `sha256:${createHash('sha256').update(small).digest('hex')}` };
    for (const reader of readers) {
      for (let step = 1; step < 40; step++)
        expect(await outcome(blob, reader, step), `${reader}, ${step} bytes at a time`).toEqual(expected);
      for (let end = 1; end < blob.length; end++) {
        // A whole first member is no whole archive, and any other end is in the middle of a member.
        if (end > 3) expect(await outcome(blob.subarray(0, end), reader), `${reader}, ${end} bytes`).toEqual(INVALID);
      }
    }
  });

  it('is damaged for both, or for neither', async () => {
    const rounds = Number(process.env['CTR_FUZZ_GZIP_ROUNDS'] ?? '400');
    const random = source(Number(process.env['CTR_FUZZ_SEED'] ?? '11'));
    const blob = Buffer.concat([
      gzipSync(TAR.subarray(0, 150_000), { level: 1 }),
      gzipSync(TAR.subarray(150_000, 330_000)),
      gzipSync(TAR.subarray(330_000)),
    ]);
    for (let round = 0; round < rounds; round++) {
      const hostile = Buffer.from(blob);
      for (let n = (random() % 3) + 1; n > 0; n--) {
        const at = random() % hostile.length;
        hostile[at] = (random() % 3 === 0 ? random() : (hostile[at] as number) ^ (1 << (random() % 8))) & 255;
      }
      const [byZlib, byIsal] = await Promise.all(readers.map((reader) => outcome(hostile, reader, 1 + (random() % 60_000))));
      expect(byIsal, `round ${round}`).toEqual(byZlib);
    }
  });
});

it('says which reader is there', () => {
  expect(['isa-l', 'zlib', undefined]).toContain(pipelineDecompressors().gzip);
  const refused = () => openLayerPipeline('/nonexistent/l', { userxattr: false, gzip: 'igzip' as 'zlib' });
  expect(refused).toThrow(expect.objectContaining({ code: 'CTR_INVALID_ARGUMENT', path: 'gzip' }));
});
