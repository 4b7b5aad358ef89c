// Overlays really mounted by this process, as root.
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { leakCheck, makeTempDir } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Fd, mountOverlay, probeOverlay } from '../src/index.js';
import { mountsHere } from './needs.js';
import { LOWER, UPPER } from './overlay-layers.js';
import { archive, dir, file, pax } from './tar-builder.js';
import { isRoot, tree, unpack } from './trees.js';

const inside = (mount: Fd, ...parts: string[]): string => path.join(`/proc/self/fd/${mount.fd}`, ...parts);
const list = (mount: Fd, at = ''): string[] => readdirSync(inside(mount, at)).sort();

describe.skipIf(!mountsHere.ok)(mountsHere.title('an overlay that this process mounts'), () => {
  let lower: string[];
  let leaks: ReturnType<typeof leakCheck>;
  beforeAll(async () => {
    lower = [(await unpack(UPPER)).directory, (await unpack(LOWER)).directory];
    leaks = leakCheck();
  });
  afterAll(() => leaks.assertClean());

  it('merges layers: whiteouts hide, opaque directories hide, the top one wins', async () => {
    using mount = await mountOverlay({ lower });
    expect(list(mount)).toEqual(['d', 'f', 'o', 'r']);
    expect(list(mount, 'd')).toEqual(['lower', 'upper']);
    expect(list(mount, 'o')).toEqual(['upper']);
    expect(list(mount, 'r')).toEqual(['new']);
    expect(readFileSync(inside(mount, 'f'), 'utf8')).toBe('upper');
    expect(statSync(inside(mount)).mode & 0o7777).toBe(0o755);
  });

  it('is attached nowhere', async () => {
    const before = readFileSync('/proc/self/mountinfo', 'utf8');
    using mount = await mountOverlay({ lower });
    expect(list(mount)).not.toEqual([]);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(before);
  });

  it('lets two overlays share a lower layer while each writes its own', async () => {
    const before = [...tree(lower[1] as string)];
    using a = await mountOverlay({ lower, size: 2 ** 20 });
    using b = await mountOverlay({ lower, size: 2 ** 20 });
    writeFileSync(inside(a, 'f'), 'of a');
    writeFileSync(inside(b, 'f'), 'of b');
    writeFileSync(inside(a, 'd/lower'), 'changed');
    mkdirSync(inside(b, 'gone'));
    expect([readFileSync(inside(a, 'f'), 'utf8'), readFileSync(inside(b, 'f'), 'utf8')]).toEqual(['of a', 'of b']);
    expect(list(a)).toEqual(['d', 'f', 'o', 'r']);
    expect(list(b, 'gone')).toEqual([]);
    expect([...tree(lower[1] as string)]).toEqual(before);
  });

  it('bounds a memory upper by its size', async () => {
    using mount = await mountOverlay({ lower, size: 65_536 });
    expect(() => writeFileSync(inside(mount, 'big'), Buffer.alloc(100_000))).toThrow('ENOSPC');
  });

  it('keeps writes of a disk upper for the next mount, volatile or not; the mode of the root too', async () => {
    for (const volatile of [false, true]) {
      const directory = makeTempDir('upper');
      {
        using mount = await mountOverlay({ lower, upper: { directory }, volatile });
        writeFileSync(inside(mount, 'kept'), 'x');
        expect(statSync(inside(mount)).mode & 0o7777).toBe(0o755);
      }
      expect(readdirSync(path.join(directory, 'upper'))).toEqual(['kept']);
      if (volatile) {
        expect(readdirSync(path.join(directory, 'work/work/incompat'))).toEqual(['volatile']);
        continue;
      }
      using again = await mountOverlay({ lower, upper: { directory } });
      expect(readFileSync(inside(again, 'kept'), 'utf8')).toBe('x');
    }
  });

  it.each([1, 2])('takes no writes when read-only, of %s layer(s) without an upper and with one', async (count) => {
    for (const upper of [undefined, 'memory'] as const) {
      using mount = await mountOverlay({ lower: lower.slice(0, count), readOnly: true, upper });
      expect(list(mount, 'o')).toEqual(['upper']);
      expect(() => writeFileSync(inside(mount, 'new'), '')).toThrow('EROFS');
      expect(statSync(inside(mount)).mode & 0o7777).toBe(0o755);
    }
  });

  it("takes paths with every separator of mount options in them, and longer than fsconfig's 255 bytes", async () => {
    const strange = path.join(makeTempDir('strange'), 'a:b,c\\d=e "f" \u00e9', 'n'.repeat(200), 'm'.repeat(100));
    mkdirSync(path.join(strange, 'x'), { recursive: true });
    using mount = await mountOverlay({ lower: [strange, ...lower] });
    expect(list(mount)).toContain('x');
  });

  it('mounts 400 layers', async () => {
    const many = Array.from({ length: 400 }, (_, i) => {
      const layer = makeTempDir('many');
      writeFileSync(path.join(layer, `f${i}`), '');
      return layer;
    });
    using mount = await mountOverlay({ lower: many });
    expect(list(mount)).toHaveLength(400);
  });

  it('shows nothing of what an image tries by attributes and devices (L-25)', async () => {
    const attributes = Object.fromEntries(
      ['opaque', 'redirect', 'metacopy', 'origin', 'whiteout', 'whiteouts', 'overlay.opaque'].flatMap((n) => [
        [`SCHILY.xattr.trusted.overlay.${n}`, n === 'redirect' ? '/o' : 'y'],
        [`SCHILY.xattr.user.overlay.${n}`, n === 'redirect' ? '/o' : 'y'],
      ]),
    );
    const hostile = await unpack(archive(pax(attributes), dir('d'), pax(attributes), file('d/mine'), pax(attributes), file('f', '')));
    expect(hostile.stats.xattrsDropped).toBe(42);
    using mount = await mountOverlay({ lower: [hostile.directory, lower[1] as string] });
    expect(list(mount, 'd')).toEqual(['lower', 'mine']);
    expect(readFileSync(inside(mount, 'f'), 'utf8')).toBe('');
  });

  it('names the layer that is not there', async () => {
    await expect(mountOverlay({ lower: [...lower, '/nonexistent/layer'] })).rejects.toMatchObject({
      code: 'ENOENT',
      syscall: 'openat',
      path: '/nonexistent/layer',
      message: expect.stringMatching(
        /^open a layer of the overlay root: openat "\/nonexistent\/layer": ENOENT \(no such file or directory\)\n {2}openat\(AT_FDCWD, /,
      ),
    });
    await expect(mountOverlay({ lower: [...lower, '/etc/passwd'] })).rejects.toMatchObject({ code: 'ENOTDIR' });
    await expect(mountOverlay({ lower, upper: { directory: '/nonexistent' } })).rejects.toMatchObject({
      code: 'ENOENT',
      path: '/nonexistent',
    });
  });

  it('is what the probe says', async () => {
    expect(await probeOverlay()).toEqual({ available: true, mount: true, reason: undefined });
  });
});

if (process.platform === 'linux' && !mountsHere.ok)
  describe('where this process cannot mount an overlay itself', () => {
    it('says what is missing', async () => {
      const requires = isRoot ? expect.stringContaining('Linux 6.15') : 'CAP_SYS_ADMIN';
      await expect(mountOverlay({ lower: ['/'] })).rejects.toMatchObject({ code: 'CTR_UNSUPPORTED', requires });
      expect(await probeOverlay()).toMatchObject({
        mount: false,
        reason: expect.stringContaining('an overlay that this process mounts itself'),
      });
    });
  });
