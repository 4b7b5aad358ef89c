// The option `devices`: the host's devices inside, with its own users and with those of the host.
import { execFileSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { type RunOptions, runContainer } from '../src/index.js';
import { atLeast } from '../src/session/host-facts.js';
import { busyboxRoot } from './busybox-root.js';

const asRoot = process.getuid?.() === 0;
const n = need('busybox', asRoot ? 'root' : 'overlay-in-userns');
const limits = need('root', 'cgroup:memory');

describe.skipIf(!n.ok)(n.title('devices'), () => {
  let rootfs = '';
  const seen = (devices: NonNullable<RunOptions['devices']>, script: string, o: RunOptions = {}): Promise<string> =>
    runContainer({ rootfs, command: ['sh', '-c', script], devices, ...o }).text();
  const failure = (devices: NonNullable<RunOptions['devices']>, o: RunOptions = {}): Promise<string> =>
    seen(devices, 'true', o).then(
      () => 'ran',
      (e: unknown) => (e as Error).message,
    );
  beforeAll(() => {
    rootfs = busyboxRoot();
  });

  it('are there under their own name or another', async () => {
    const line = 'stat -c "%n %F %t:%T" /dev/mine /dev/deep/er; head -c 3 /dev/mine | wc -c';
    expect(await seen(['/dev/zero:/dev/mine', { source: '/dev/null', target: '/dev/deep/er' }], line)).toBe(
      '/dev/mine character special file 1:5\n/dev/deep/er character special file 1:3\n3\n',
    );
  });

  it.skipIf(!asRoot)('have the host’s mode and owner, or with users of its own those that this has there', async () => {
    const { mode, gid } = statSync('/dev/zero');
    const line = 'stat -c "%a %u %g" /dev/mine';
    expect(await seen(['/dev/zero:/dev/mine'], line)).toBe(`${(mode & 0o7777).toString(8)} 0 ${gid}\n`);
    // Layers are shown with mapped ids from Linux 6.15 on.
    if (atLeast([6, 15]))
      expect(await seen(['/dev/zero:/dev/mine'], line, { userns: 'auto' })).toBe(`${(mode & 0o7777).toString(8)} 65534 65534\n`);
  });

  it.skipIf(!limits.ok)(limits.title('are let through as they were given, a folder of them too'), async () => {
    const folder = makeTempDir('devices');
    // A number without a driver: who is let through to it hears that (ENXIO), who is not hears of the rules (EPERM).
    execFileSync('mknod', [path.join(folder, 'a'), 'c', '240', '7']);
    writeFileSync(path.join(folder, 'no-device'), '');
    const line = 'cat /dev/mine/a 2>&1; echo 2>&1 >/dev/mine/a; ls /dev/mine; true';
    const [none, refused] = ['No such device or address', 'Operation not permitted'];
    const told = (read: string, write: string): string =>
      `cat: can't open '/dev/mine/a': ${read}\nsh: can't create /dev/mine/a: ${write}\na\n`;
    expect(await seen([`${folder}:/dev/mine`], line)).toBe(told(none, none));
    expect(await seen([`${folder}:/dev/mine:r`], line)).toBe(told(none, refused));
    expect(await seen([{ source: folder, target: '/dev/mine', access: 'w' }], line)).toBe(told(refused, none));
  });

  it('are refused where they are none, or cannot be limited', async () => {
    expect(await failure(['/etc/passwd:/dev/mine'])).toBe(
      'expected "devices[0]" to be a device of this host, or a folder with devices, received "/etc/passwd" (string)',
    );
    expect(await failure(['/dev/not-there'])).toContain('expected "devices[0]" to be a device of this host');
    expect(await failure(['/dev/zero:/dev/mine:r'], { resources: { devices: 'all' } })).toContain('the access "r" alone to /dev/zero');
  });
});
