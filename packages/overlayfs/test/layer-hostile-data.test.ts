// Malformed archives and sizes that do not fit. Case numbers are those of the project's security study (group L).
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { openLayerWriter } from '../src/index.js';
import { archive, base256, dir, file, header, long, pax, record, symlink } from './tar-builder.js';
import { isRoot, names, refusal, tree, unpack } from './trees.js';

const INVALID = expect.objectContaining({ name: 'ImageError', code: 'CTR_IMAGE_INVALID' });
const LIMIT = expect.objectContaining({ name: 'ImageError', code: 'CTR_IMAGE_LIMIT' });

describe('sizes (L-29, L-32, L-33)', () => {
  it('refuses sizes that are negative, too large, or no number', async () => {
    const sizes = [
      base256(-1n),
      base256(-512n),
      base256(-(2n ** 63n)),
      base256(2n ** 63n),
      base256(2n ** 80n),
      Buffer.from('8\0'),
      Buffer.from('12a4\0'),
    ];
    for (const size of sizes) expect(await refusal(archive(file('x', '', { size })))).toEqual(INVALID);
    for (const size of ['-1', '1e3', '0x10', '9223372036854775808', '99999999999999999999', ' 1', '+1'])
      expect(await refusal(archive(pax({ size }), file('x')))).toEqual(INVALID);
  });

  it("ends with a typed error for a size beyond the archive's end", async () => {
    for (const size of [base256(2n ** 53n), base256(2n ** 62n), 2048])
      expect(await refusal(archive(file('x', '', { size })))).toEqual(INVALID);
    expect(await refusal(archive(pax({ size: '9000000000000000000' }), file('x')))).toEqual(INVALID);
  });

  it('reads a size in base-256', async () => {
    const { directory } = await unpack(archive(file('x', 'abc', { size: base256(3n) }), file('y')));
    expect(readFileSync(path.join(directory, 'x'), 'utf8')).toBe('abc');
    expect(names(directory)).toEqual(['x', 'y']);
  });

  it.each(['1', '2', '3', '4', '5', '6'])('refuses a size on an entry of kind %s, which tools skip or do not', async (type) => {
    const entry = header({ name: 'x', type, link: 'f', size: 512, major: 1, minor: 3 });
    expect(await refusal(archive(file('f'), entry, Buffer.alloc(512, 1)))).toEqual(INVALID);
    expect(await refusal(archive(file('f'), pax({ size: '512' }), header({ name: 'x', type, link: 'f' }), Buffer.alloc(512, 1)))).toEqual(
      INVALID,
    );
  });

  it('reads the entries that GNU tar reads when PAX and ustar sizes differ: hidden ones never appear (L-33)', async () => {
    const hidden = archive(file('hidden', 'evil')).subarray(0, 1024);
    const cases = [
      archive(pax({ size: '1024' }), header({ name: 'a', size: 0 }), hidden, file('b')),
      archive(pax({ size: '1024' }), header({ name: 'a', size: 512 }), hidden, file('b')),
      archive(pax({ size: '0' }), header({ name: 'a', size: 1024 }), hidden, file('b')),
      archive(pax({ size: '1024' }), long('L', 'long-name'), header({ name: 'a', size: 0 }), hidden, file('b')),
    ];
    for (const bytes of cases) {
      const work = makeTempDir('differ');
      const archived = path.join(work, 'a.tar');
      writeFileSync(archived, bytes);
      const listed = execFileSync('tar', ['-tf', archived], { encoding: 'utf8' }).trim().split('\n');
      expect(names((await unpack(bytes)).directory)).toEqual(listed.sort());
    }
  });

  describe('sparse files (L-29)', () => {
    const number = (n: number): string => `${n.toString(8).padStart(11, '0')}\0`;
    const old = (real: number, size: number, pairs: readonly (readonly [number, number])[], more = false): Buffer => {
      const block = header({ name: 'x', type: 'S', magic: 'ustar  ', size });
      pairs.forEach(([offset, bytes], i) => {
        block.write(number(offset) + number(bytes), 386 + 24 * i, 'latin1');
      });
      block[482] = more ? 1 : 0;
      block.write(number(real), 483, 'latin1');
      return resummed(block);
    };
    const resummed = (block: Buffer): Buffer => {
      block.fill(' ', 148, 156);
      block.write(
        `${block
          .reduce((a, b) => a + b, 0)
          .toString(8)
          .padStart(6, '0')}\0 `,
        148,
        'latin1',
      );
      return block;
    };
    const data = Buffer.alloc(512, 'x');
    const version1 = (map: string, real = '10240', content = Buffer.alloc(0)): Buffer => {
      const text = Buffer.concat([Buffer.from(map), Buffer.alloc((512 - (map.length % 512)) % 512)]);
      return archive(
        pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 'x', 'GNU.sparse.realsize': real }),
        file('y', Buffer.concat([text, content])),
      );
    };
    const map01 = (map: string, size = '10240'): Buffer =>
      archive(pax({ 'GNU.sparse.size': size, 'GNU.sparse.map': map }), file('x', data));

    it.each<[string, Buffer]>([
      ['an old one whose parts are not what is stored', archive(old(10_240, 512, [[0, 1024]]), data)],
      ['an old one without a map', archive(old(10_240, 512, []), data)],
      [
        'parts that overlap',
        archive(
          old(10_240, 512, [
            [0, 512],
            [0, 512],
          ]),
          data,
        ),
      ],
      ['parts in disorder', map01('1024,256,0,256')],
      ['a part behind the end', map01('10240,512')],
      ['a part over the end', map01('10000,512')],
      ['half a pair', map01('0,512,1024')],
      ['no numbers', map01('0,x')],
      ['sizes that overflow', map01('9223372036854775807,9223372036854775807')],
      ['parts that are no whole blocks', map01('100,512')],
      [
        'a part that ends inside a block',
        archive(pax({ 'GNU.sparse.size': '10240', 'GNU.sparse.map': '0,100' }), file('x', 'y'.repeat(100))),
      ],
      ['an unknown version', archive(pax({ 'GNU.sparse.major': '2', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '1' }), file('x'))],
      ['a map and no size', archive(pax({ 'GNU.sparse.map': '0,7' }), file('x'))],
      ['a size and no map', archive(pax({ 'GNU.sparse.size': '1152921504606846976', 'GNU.sparse.numblocks': '1000000' }), file('x'))],
      ['an unknown key', archive(pax({ 'GNU.sparse.wrong': '1' }), file('x'))],
      ['a directory', archive(pax({ 'GNU.sparse.size': '0', 'GNU.sparse.map': '0,0' }), dir('x'))],
      ['two maps', archive(pax({ 'GNU.sparse.size': '512', 'GNU.sparse.map': '0,512' }), old(512, 512, [[0, 512]]), data)],
      ['a text that is no map', version1('seven\n')],
      ['a text that is cut', version1('2\n0\n512\n')],
      ['a text with spaces', version1('1\n 0\n512\n', '10240', data)],
      ['a text of an endless number', version1(`${'1'.repeat(400)}\n`)],
      ['a map that never ends', archive(old(10_240, 0, [], true), ...Array.from({ length: 2 }, () => Buffer.alloc(512, '7')))],
    ])('refuses %s', async (_, bytes) => {
      expect((await refusal(bytes)).code).toBe('CTR_IMAGE_INVALID');
    });

    it('bounds parts, holes and what maps cost', async () => {
      const limit = async (bytes: Uint8Array): Promise<string> => {
        const error = await refusal(bytes);
        expect(error.code).toBe('CTR_IMAGE_LIMIT');
        return error.message;
      };
      expect(await limit(version1('1000000\n'))).toContain('250,000');
      expect(await limit(map01('0,512', String(2 ** 60)))).toContain('larger than the limit');
      expect(await limit(version1('1\n0\n512\n', String(2 ** 60), data))).toContain('larger than the limit');
      const blocks = Buffer.alloc(512);
      for (let i = 0; i < 21; i++) blocks.write(number(0) + number(0), 24 * i, 'latin1');
      blocks[504] = 1;
      expect(await limit(archive(old(10_240, 0, [], true), Buffer.concat(Array.from({ length: 12_000 }, () => blocks))))).toContain(
        '250,000',
      );
    });
  });
});

describe('extended headers (L-30, L-31)', () => {
  const raw = (body: string): Buffer => archive(pax(body), file('x'));

  it.each([
    ['a length that is too small', '9 path=ab\n1'],
    ['a length that is too large', '30 path=ab\n'],
    ['a zero length', '0 path=ab\n'],
    ['a negative length', '-11 path=ab\n'],
    ['a length with letters', '1x path=ab\n'],
    ['no length', ' path=ab\n'],
    ['no newline', '11 path=abc'],
    ['no equals sign', '11 pathabc\n\n'],
    ['no key', '8 =value\n'],
    ['zeros behind the last record', '11 path=ab\n\0\0\0'],
    ['a zero byte in a name', '13 path=a\0bc\n'],
    ['a zero byte in a key', '13 pa\0th=abc\n'],
  ])('refuses a record with %s', async (_, body) => {
    expect(await refusal(raw(body))).toEqual(INVALID);
  });

  it('takes the last of two records of one key, and an empty value as none', async () => {
    const twice = Buffer.concat([record('path', 'first'), record('path', 'second'), record('comment', 'x')]);
    expect(names((await unpack(archive(pax(twice.toString()), file('x')))).directory)).toEqual(['second']);
    expect(names((await unpack(archive(pax({ path: '' }), file('x')))).directory)).toEqual(['x']);
    expect(names((await unpack(archive(pax(''), pax('', 'g'), file('x')))).directory)).toEqual(['x']);
  });

  it('bounds the memory of a header before it is read', async () => {
    const huge = Buffer.concat([header({ name: 'p', type: 'x', size: 2 ** 30 }), Buffer.alloc(2 ** 20)]);
    const before = process.memoryUsage().rss;
    expect(await refusal(huge)).toEqual(LIMIT);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
    for (const type of ['L', 'K']) expect(await refusal(header({ name: 'p', type, size: 2 ** 30 }))).toEqual(LIMIT);
    expect(
      await refusal(archive(pax(Buffer.concat(Array.from({ length: 100_000 }, (_, i) => record(`key${i}`, ''))).toString()), file('x'))),
    ).toEqual(LIMIT);
  });

  it('refuses global headers that change entries, ignores others, and bounds their number', async () => {
    for (const key of ['path', 'linkpath', 'size', 'uid', 'gid', 'mtime', 'SCHILY.xattr.user.a'])
      expect((await refusal(archive(pax({ [key]: '1' }, 'g'), file('x')))).message).toContain('global');
    expect(names((await unpack(archive(pax({ comment: 'c0ffee' }, 'g'), file('x')))).directory)).toEqual(['x']);
    const many = Array.from({ length: 100_000 }, () => pax({ comment: 'x' }, 'g'));
    expect(await refusal(archive(...many, file('x')))).toEqual(LIMIT);
  });

  it('refuses two headers of one kind, a header without an entry, and two different names', async () => {
    for (const twice of [pax({ comment: 'x' }), long('L', 'a'), long('K', 'a')])
      expect(await refusal(archive(twice, twice, file('x')))).toEqual(INVALID);
    for (const alone of [pax({ comment: 'x' }), long('L', 'a')]) {
      expect(await refusal(archive(alone))).toEqual(INVALID);
      expect(await refusal(alone)).toEqual(INVALID);
    }
    expect(await refusal(archive(pax({ path: 'a' }), long('L', 'b'), file('x')))).toEqual(INVALID);
    expect(names((await unpack(archive(pax({ path: 'a' }), long('L', 'a'), file('x')))).directory)).toEqual(['a']);
  });
});

describe('archives cut or damaged (L-39)', () => {
  const whole = archive(dir('d'), file('d/f', Buffer.alloc(1500, 1)), symlink('s', 'd/f'), pax({ path: 'p' }), file('x', 'y'));

  it('takes an archive without its end marker when it ends between entries, and says so; refuses every other cut', async () => {
    const tolerated: number[] = [];
    for (let at = 0; at <= whole.length; at += 512) {
      const writer = openLayerWriter(path.join(makeTempDir('cut'), 'fs'), { userxattr: !isRoot });
      await writer.write(whole.subarray(0, at));
      const outcome = await writer.end().catch((e) => e as Error);
      if (outcome instanceof Error) expect(outcome).toEqual(INVALID);
      else tolerated.push(at);
      if (!(outcome instanceof Error)) expect(outcome.endMarker).toBe(at === whole.length);
    }
    expect(tolerated.map((at) => at / 512)).toEqual([0, 1, 5, 6, 10, 11, 12]);
  });

  it('refuses a cut at any other byte', async () => {
    for (let i = 0; i < 60; i++) {
      const at = 1 + ((i * 7919) % (whole.length - 1024));
      if (at % 512 === 0) continue;
      expect(await refusal(whole.subarray(0, at))).toEqual(INVALID);
    }
  });

  it('refuses a wrong checksum, bytes that are no tar, and a lone block of zeros', async () => {
    expect((await refusal(archive(header({ name: 'x', damage: true })))).message).toContain('checksum');
    expect(await refusal(Buffer.alloc(2048, 'no tar at all '))).toEqual(INVALID);
    expect(await refusal(archive(file('a'), Buffer.alloc(512), file('b')))).toEqual(INVALID);
  });

  it('ignores what follows the end marker, as GNU tar and Go do', async () => {
    const { directory } = await unpack(Buffer.concat([archive(file('a')), Buffer.alloc(3000, 'x'), archive(file('hidden'))]));
    expect(names(directory)).toEqual(['a']);
  });

  it.each(['A', 'D', 'M', 'N', 'X', '8', '\x01'])('refuses an entry of the unknown kind %j', async (type) => {
    expect(await refusal(archive(header({ name: 'x', type })))).toEqual(INVALID);
  });

  it('reads what V7 wrote: no magic, and directories by their final slash', async () => {
    const old = { magic: '', type: '\0' };
    const { directory } = await unpack(archive(file('d/', '', { ...old, mode: 0o755 }), file('d/f', 'abc', old)));
    expect(tree(directory).get('d')?.kind).toBe('directory');
    expect(readFileSync(path.join(directory, 'd/f'), 'utf8')).toBe('abc');
  });
});
