// Uppers on a disk with a size: what goes in, what does not, and what stays of them.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { chooseUpperLimit, makeSizedUpper, mountOverlay, type SizedUpper } from '../src/index.js';
import { mountsHere } from './needs.js';

const MIB = 2 ** 20;
const here = process.platform === 'linux' ? await chooseUpperLimit(makeTempDir('probe')) : undefined;
host.define('loop-upper', { test: () => here?.by === 'loop', cure: `run as root with loop devices and mkfs.ext4 (${here?.requires})` });
const byLoop = need('overlay-by-descriptor', 'loop-upper');

/** Makes an ext4 that holds projects to limits, mounts it in a folder, and unmounts it when the test is over. */
function onQuotaDisk(): { folder: string; umount(): void } {
  const base = makeTempDir('quota');
  const [image, folder] = [path.join(base, 'image'), path.join(base, 'disk')];
  writeFileSync(image, '');
  truncateSync(image, 64 * MIB);
  mkdirSync(folder);
  execFileSync(host.program('mkfs.ext4'), ['-q', '-F', '-O', 'quota,project', '-E', 'quotatype=prjquota', image], { stdio: 'ignore' });
  execFileSync(host.program('mount'), ['-o', 'loop,prjquota', image, folder], { stdio: 'ignore' });
  return { folder, umount: () => execFileSync(host.program('umount'), [folder]) };
}

function canQuota(): boolean {
  try {
    onQuotaDisk().umount();
    return true;
  } catch {
    return false;
  }
}
host.define('project-quota', { test: canQuota, cure: 'run as root on a kernel with CONFIG_QFMT_V2 and ext4' });
const byQuota = need('root', 'loop-upper', 'project-quota');

/** Bytes that could be written to a file. */
function fill(directory: string): { bytes: number; code: string | undefined } {
  const chunk = Buffer.alloc(64 * 1024, 1);
  for (let bytes = 0; ; bytes += chunk.length) {
    try {
      writeFileSync(path.join(directory, 'full'), chunk, { flag: 'a', flush: true });
    } catch (error) {
      return { bytes, code: (error as NodeJS.ErrnoException).code };
    }
    if (bytes > 64 * MIB) return { bytes, code: undefined };
  }
}

/** Fills an overlay with this upper. */
async function fillOverlay(layer: SizedUpper): Promise<{ bytes: number; code: string | undefined }> {
  using root = await mountOverlay({ lower: [makeTempDir('lower')], upper: layer.upper, volatile: true });
  layer.close();
  return fill(`/proc/self/fd/${root.fd}`);
}

const bound = (folder: string): string[] =>
  readdirSync('/sys/block').filter((name) => {
    const file = `/sys/block/${name}/loop/backing_file`;
    return existsSync(file) && readFileSync(file, 'utf8').startsWith(folder);
  });

describe.skipIf(!byLoop.ok)(byLoop.title('an upper on a loop device'), () => {
  it('holds its size and no more, and is gone when it is removed', async () => {
    const folder = makeTempDir('sized');
    const layer = await makeSizedUpper(path.join(folder, 'a'), { size: 8 * MIB });
    expect(layer.by).toBe('loop');
    const { bytes, code } = await fillOverlay(layer);
    expect(code).toBe('ENOSPC');
    expect(bytes).toBeLessThanOrEqual(8 * MIB);
    expect(bytes).toBeGreaterThan(4 * MIB);
    await layer.remove();
    await layer.remove();
    expect(readdirSync(folder)).toEqual([`template-${8 * MIB}.ext4`]);
    await expect.poll(() => bound(folder)).toEqual([]);
  });

  it('shows an overlay that begins empty, each its own, though many are made at once of one template', async () => {
    const folder = makeTempDir('sized');
    const layers = await Promise.all(['a', 'b', 'c'].map((name) => makeSizedUpper(path.join(folder, name), { size: 4 * MIB })));
    for (const layer of layers) {
      using root = await mountOverlay({ lower: [makeTempDir('lower')], upper: layer.upper });
      expect(readdirSync(`/proc/self/fd/${root.fd}`)).toEqual([]);
      writeFileSync(`/proc/self/fd/${root.fd}/x`, 'x');
    }
    for (const layer of layers) await layer.remove();
    await expect.poll(() => bound(folder)).toEqual([]);
  });

  it('takes as much of the disk as was written, whatever its size', async () => {
    const folder = makeTempDir('sized');
    const layer = await makeSizedUpper(path.join(folder, 'a'), { size: 1024 * MIB });
    expect(statSync(path.join(folder, 'a/layer.ext4')).size).toBe(1024 * MIB);
    expect(statSync(path.join(folder, 'a/layer.ext4')).blocks * 512).toBeLessThan(4 * MIB);
    await layer.remove();
  });

  it('that cannot be made leaves nothing', async () => {
    const folder = makeTempDir('sized');
    mkdirSync(path.join(folder, 'there'));
    await expect(makeSizedUpper(path.join(folder, 'there'), { size: MIB })).rejects.toMatchObject({ code: 'EEXIST' });
    // What is no file system is told by mkfs.ext4, or by the kernel when it is mounted.
    mkdirSync(path.join(folder, `template-${2 * MIB}.ext4`));
    await expect(makeSizedUpper(path.join(folder, 'a'), { size: 2 * MIB })).rejects.toMatchObject({ name: 'SyscallError' });
    expect(existsSync(path.join(folder, 'a'))).toBe(false);
    expect(bound(folder)).toEqual([]);
  });
});

describe.skipIf(!byQuota.ok)(byQuota.title('an upper with a project quota'), () => {
  it('is chosen where the file system has it, holds its size, and gives its id back', async () => {
    const { folder, umount } = onQuotaDisk();
    try {
      expect(await chooseUpperLimit(path.join(folder, 'none/yet'))).toEqual({ by: 'quota', requires: undefined });
      const layers = [
        await makeSizedUpper(path.join(folder, 'a'), { size: 8 * MIB }),
        await makeSizedUpper(path.join(folder, 'b'), { size: 4 * MIB }),
      ];
      for (const [i, layer] of layers.entries()) {
        expect(layer).toMatchObject({ by: 'quota', upper: { directory: layer.directory } });
        // As overlayfs does what it is told by a container: without the right to exceed quotas (CAP_SYS_RESOURCE).
        const script = 'mkdir "$1/upper" && dd if=/dev/zero of="$1/upper/full" bs=64k count=512 conv=fsync';
        const run = ['--bounding-set', '-sys_resource', '--inh-caps', '-sys_resource', 'sh', '-c', script, 'sh', layer.directory];
        expect(() => execFileSync(host.program('setpriv'), run, { stdio: 'pipe' })).toThrow(/quota exceeded/i);
        const { size } = statSync(path.join(layer.directory, 'upper/full'));
        expect(size).toBeLessThanOrEqual((i === 0 ? 8 : 4) * MIB);
        expect(size).toBeGreaterThan((i === 0 ? 6 : 2) * MIB);
      }
      await layers[0]?.remove();
      expect(existsSync(path.join(folder, 'a'))).toBe(false);
      // One that was left without its limit being taken away, as by kill -9: its id is used again, with the new limit.
      execFileSync('rm', ['-r', path.join(folder, 'b')]);
      const again = await makeSizedUpper(path.join(folder, 'c'), { size: 16 * MIB });
      writeFileSync(path.join(folder, 'c/much'), Buffer.alloc(10 * MIB), { flush: true });
      await again.remove();
    } finally {
      umount();
    }
  });
});

describe.skipIf(!mountsHere.ok)(mountsHere.title('the options of an upper with a size'), () => {
  it.each([
    ['relative', { size: MIB }],
    ['/tmp/x', { size: MIB - 1 }],
    ['/tmp/x', { size: 1.5 }],
    ['/tmp/x', { size: MIB, by: 'magic' }],
    ['/tmp/x', { size: MIB, more: 1 }],
  ])('%s, %j is refused', async (directory, options) => {
    await expect(makeSizedUpper(directory, options as { size: number })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
  });

  it('a device and a directory are not taken together', async () => {
    const upper = { directory: '/tmp', device: '/dev/loop0' };
    await expect(mountOverlay({ lower: ['/'], upper })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT', path: 'upper.device' });
  });
});

const without = need('ordinary-user');
describe.skipIf(!without.ok)(without.title('an upper with a size'), () => {
  it('is refused before anything is made', async () => {
    const directory = path.join(makeTempDir('sized'), 'a');
    expect((await chooseUpperLimit(directory)).requires).toContain('CAP_SYS_ADMIN');
    await expect(makeSizedUpper(directory, { size: MIB })).rejects.toMatchObject({ code: 'CTR_UNSUPPORTED' });
    expect(readdirSync(path.dirname(directory))).toEqual([]);
  });
});
