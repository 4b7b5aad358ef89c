// The size of a writable layer is kept to, in memory and on disk, and nothing of a layer with a size stays.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { host, need } from '@ctr/internal/testing';
import { chooseUpperLimit } from '@ctr/overlayfs';
import { beforeAll, describe, expect, it } from 'vitest';
import { explain, runContainer } from '../src/index.js';
import { dataRoot } from '../src/session/data-root.js';
import { openSession } from '../src/session/session.js';
import { busyboxRoot } from './busybox-root.js';

const choice = process.platform === 'linux' ? await chooseUpperLimit(dataRoot()) : undefined;
host.define('sized-disk-layer', { test: () => choice?.by !== undefined, cure: `needs ${choice?.requires}` });
host.define('no-sized-disk-layer', { test: () => choice?.by === undefined, cure: 'run as an ordinary user' });

const inMemory = need('busybox', process.getuid?.() === 0 ? 'root' : 'overlay-in-userns');
const onDisk = need('busybox', 'root', 'sized-disk-layer');
const notOnDisk = need('busybox', 'no-sized-disk-layer');

/** Fills the layer, and says how much went in. */
const FILL = 'said=$(dd if=/dev/zero of=/full bs=64k count=512 2>&1); echo "$? $(stat -c %s /full)"; echo "$said"';

let rootfs = '';
beforeAll(() => {
  rootfs = busyboxRoot();
});

async function fill(
  writable: { on: 'memory' | 'disk'; size: string },
  more: object = {},
): Promise<{ status: number; bytes: number; said: string }> {
  const text = await runContainer({ rootfs, command: ['sh', '-c', FILL], writable, ...more }).text();
  const [, status, bytes, said] = /^(\d+) (\d+)\n(.*)$/s.exec(text) ?? [];
  return { status: Number(status), bytes: Number(bytes), said: said ?? '' };
}

/** Devices of layers that are still bound to a file. */
function devices(folder: string): string[] {
  return readdirSync('/sys/block').filter((name) => {
    const file = `/sys/block/${name}/loop/backing_file`;
    return existsSync(file) && readFileSync(file, 'utf8').startsWith(folder);
  });
}

const layers = async (): Promise<string[]> => readdirSync((await openSession()).uppers).filter((name) => !name.startsWith('template-'));

describe.skipIf(!inMemory.ok)(inMemory.title('a layer in memory with a size'), () => {
  it('takes no more', async () => {
    const { status, bytes, said } = await fill({ on: 'memory', size: '4m' });
    expect(said).toContain('No space left on device');
    expect(status).toBe(1);
    expect(bytes).toBeLessThanOrEqual(4 * 2 ** 20);
    expect(bytes).toBeGreaterThan(3 * 2 ** 20);
  });

  it('is not the one of a container without', async () => {
    expect(await runContainer({ rootfs, command: ['sh', '-c', FILL], writable: 'memory' }).text()).toMatch(/^0 33554432\n/);
  });
});

describe.skipIf(!onDisk.ok)(onDisk.title('a layer on disk with a size'), () => {
  it.each(['default', 'host'])('takes no more, with the users of %s, and leaves nothing', async (userns) => {
    const { status, bytes, said } = await fill({ on: 'disk', size: '16m' }, userns === 'host' ? { userns } : {});
    expect(said).toMatch(/No space left on device|Disk quota exceeded/);
    expect(status).toBe(1);
    expect(bytes).toBeLessThanOrEqual(16 * 2 ** 20);
    expect(bytes).toBeGreaterThan(8 * 2 ** 20);
    expect(await layers()).toEqual([]);
    await expect.poll(() => devices(dataRoot())).toEqual([]);
  });

  it('holds the layer of one container, not of all', async () => {
    const writable = { on: 'disk', size: '16m' } as const;
    const all = await Promise.all([1, 2, 3].map(() => fill(writable)));
    for (const { bytes } of all) expect(bytes).toBeGreaterThan(8 * 2 ** 20);
    expect(await layers()).toEqual([]);
  });

  it('as small as it may be is written to', async () => {
    const command = ['sh', '-c', 'mkdir -p /a/b && echo x >/a/b/c && rm -r /etc && cat /a/b/c && ls /'];
    const text = await runContainer({ rootfs, command, writable: { on: 'disk', size: 2 ** 20 } }).text();
    expect(text.split('\n')).toEqual(expect.arrayContaining(['x', 'a', 'bin']));
    expect(text).not.toMatch(/lost\+found|etc/);
  });

  it('goes with a start that fails, and with one that is aborted', async () => {
    const writable = { on: 'disk', size: '16m' } as const;
    await expect(runContainer({ rootfs, command: ['/none'], writable }).result()).rejects.toThrow(/ENOENT/);
    const abort = new AbortController();
    const run = runContainer({ rootfs, command: ['sleep', '1000'], writable, signal: abort.signal });
    await run;
    abort.abort();
    await run.result().catch(() => undefined);
    expect(await layers()).toEqual([]);
    await expect.poll(() => devices(dataRoot())).toEqual([]);
  });

  it('is explained without staying', async () => {
    const { plan } = await explain({ rootfs, command: ['true'], writable: { on: 'disk', size: '16m' } });
    expect(plan).toMatch(choice?.by === 'loop' ? /fsopen\("ext4".*\/dev\/loop\d+/s : /upperdir/);
    expect(await layers()).toEqual([]);
    await expect.poll(() => devices(dataRoot())).toEqual([]);
  });
});

describe.skipIf(!notOnDisk.ok)(notOnDisk.title('a layer on disk with a size, where none can be had'), () => {
  it('is refused before anything is made, with the cure', async () => {
    const run = runContainer({ rootfs, command: ['true'], writable: { on: 'disk', size: '16m' } });
    await expect(run.result()).rejects.toMatchObject({ code: 'CTR_UNSUPPORTED', hint: expect.stringContaining('on: "memory"') });
    expect(existsSync((await openSession()).uppers)).toBe(false);
  });
});

describe('the size of a writable layer', () => {
  it.each([
    [{ size: '1k' }, 'writable.size'],
    [{ size: -1 }, 'writable.size'],
    [{ size: 'lots' }, 'writable.size'],
    [{ on: 'tape' }, 'writable.on'],
    [{ folder: '/x' }, 'writable.folder'],
    ['tape', 'writable'],
  ])('%j is refused', async (writable, where) => {
    const run = () => runContainer({ rootfs: path.resolve('/'), command: ['true'], writable: writable as 'disk' }).result();
    await expect((async () => run())()).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT', path: where });
  });
});
