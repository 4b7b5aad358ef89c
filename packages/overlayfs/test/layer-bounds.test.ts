// What a layer may bring and cost: attributes, owners, times, limits; and giving up. Case numbers as in layer-hostile-data.test.ts.
import { lstatSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { openLayerWriter } from '../src/index.js';
import { archive, base256, dir, END, file, hardlink, header, pax, withBody } from './tar-builder.js';
import { isRoot, names, refusal, unpack } from './trees.js';

const INVALID = expect.objectContaining({ name: 'ImageError', code: 'CTR_IMAGE_INVALID' });
const LIMIT = expect.objectContaining({ name: 'ImageError', code: 'CTR_IMAGE_LIMIT' });

describe('attributes, owners and times (L-40, L-42)', () => {
  const xattr = (records: Record<string, string | Uint8Array>): Buffer =>
    archive(pax(Object.fromEntries(Object.entries(records).map(([k, v]) => [`SCHILY.xattr.${k}`, v]))), file('x'), file('after'));

  it('leaves out attributes that a layer may not bring, counted, and goes on', async () => {
    const names10 = [
      'security.selinux',
      'security.ima',
      'system.posix_acl_access',
      'trusted.anything',
      'trusted.overlay.opaque',
      'trusted.overlay.redirect',
    ];
    const { directory, stats } = await unpack(
      xattr(Object.fromEntries([...names10, 'user.overlay.opaque', 'user.overlay.overlay.opaque', 'nonsense'].map((n) => [n, 'y']))),
    );
    expect(stats.xattrsDropped).toBe(9);
    expect(names(directory)).toEqual(['after', 'x']);
  });

  it('drops a malformed capability, counted', async () => {
    const { stats } = await unpack(xattr({ 'security.capability': 'nonsense' }));
    expect(stats.xattrsDropped).toBe(1);
  });

  it('bounds number, name and size of attributes', async () => {
    expect(await refusal(xattr({ 'user.big': Buffer.alloc(65_537, 1) }))).toEqual(LIMIT);
    expect(await refusal(xattr(Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`user.n${i}`, 'x']))))).toEqual(LIMIT);
    expect(await refusal(xattr({ [`user.${'n'.repeat(300)}`]: 'x' }))).toEqual(LIMIT);
    expect(await refusal(xattr({ '': 'x' }))).toEqual(INVALID);
    expect(await refusal(xattr({ 'user.a\0b': 'x' }))).toEqual(INVALID);
  });

  it.each(['1e400', 'NaN', 'Infinity', '', '.', '1.x', '-', '--1', '9223372036854775808', '99999999999999999999999'])(
    'refuses the time %j, or takes an empty one as none',
    async (mtime) => {
      const bytes = archive(pax({ mtime }), file('x'));
      if (mtime === '') await unpack(bytes);
      else expect(await refusal(bytes)).toEqual(INVALID);
    },
  );

  it("takes negative times, long fractions and times beyond the file system's", async () => {
    for (const [mtime, seconds] of [
      ['-86400.5', -86401],
      ['1.123456789012345678901234567890', 1],
      ['0', 0],
    ] as const) {
      const { directory } = await unpack(archive(pax({ mtime }), file('x')));
      expect(Math.floor(lstatSync(path.join(directory, 'x')).mtimeMs / 1000)).toBe(seconds);
    }
    await unpack(archive(pax({ mtime: '9223372036854775807' }), file('x'), file('y', '', { mtime: base256(-1n) })));
  });

  it('refuses owners that are no ids', async () => {
    for (const id of ['-1', '4294967295', '4294967296', 'root']) {
      expect(await refusal(archive(pax({ uid: id }), file('x')))).toEqual(INVALID);
      expect(await refusal(archive(pax({ gid: id }), file('x')))).toEqual(INVALID);
    }
  });
});

const device = need('mknod');
describe.skipIf(!device.ok)(device.title('device numbers'), () => {
  it('refuses what no kernel has', async () => {
    for (const f of [{ major: 4096 }, { minor: 0o7777777 }])
      expect(await refusal(archive(header({ name: 'n', type: '3', major: 1, ...f })))).toEqual(INVALID);
  });
});

describe('limits of a layer (L-43)', () => {
  it('counts entries, and parents that it had to make', async () => {
    const many = Array.from({ length: 101 }, (_, i) => file(`f${i}`, ''));
    expect(await refusal(archive(...many), { entries: 100 })).toEqual(LIMIT);
    expect(await refusal(archive(file('a/b/c/d/e/f')), { entries: 5 })).toEqual(LIMIT);
    await unpack(archive(...many), { limits: { entries: 101 } });
  });

  it('counts the bytes of the stream, also behind the end marker', async () => {
    expect(await refusal(Buffer.concat([archive(file('x')), Buffer.alloc(100_000)]), { bytes: 50_000 })).toEqual(LIMIT);
  });

  it('refuses a limit that is no count, and unknown ones by name', () => {
    const open = (limits: object) => () => openLayerWriter('/nonexistent/x', { userxattr: true, limits });
    expect(open({ entries: 0 })).toThrow('limits.entries');
    expect(open({ bytes: 1.5 })).toThrow('limits.bytes');
    expect(open({ entrys: 5 })).toThrow('did you mean "entries"');
  });
});

describe('abort', () => {
  it('removes the directory in the middle of an entry, and the writer is of no further use', async () => {
    const parent = makeTempDir('abort');
    const writer = openLayerWriter(path.join(parent, 'fs'), { userxattr: !isRoot });
    await writer.write(Buffer.concat([dir('d', { mode: 0o000 }), file('d/sub/f'), withBody({ name: 'big', size: 10_000 }, 'begun')]));
    expect(readdirSync(path.join(parent, 'fs'))).toContain('big');
    await writer.abort();
    expect(readdirSync(parent)).toEqual([]);
    await expect(writer.write(END)).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
    await writer.abort();
  });

  it('is what disposal does unless the layer was ended', async () => {
    const parent = makeTempDir('dispose');
    {
      await using writer = openLayerWriter(path.join(parent, 'left'), { userxattr: !isRoot });
      await writer.write(file('x'));
    }
    {
      await using writer = openLayerWriter(path.join(parent, 'kept'), { userxattr: !isRoot });
      await writer.write(archive(file('x'), hardlink('y', 'x')));
      await writer.end();
    }
    expect(readdirSync(parent)).toEqual(['kept']);
  });

  it('repeats the first error to every later call', async () => {
    const writer = openLayerWriter(path.join(makeTempDir('again'), 'fs'), { userxattr: !isRoot });
    const calls = await Promise.allSettled([writer.write(file('..')), writer.write(file('fine')), writer.end()]);
    expect(calls.map((c) => c.status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(new Set(calls.map((c) => (c as PromiseRejectedResult).reason)).size).toBe(1);
  });
});
