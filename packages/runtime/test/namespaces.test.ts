// Namespaces that are shared, joined or the host's.
import { openSync } from 'node:fs';
import { need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { Fd, type RunOptions, runContainer } from '../src/index.js';
import { atLeast } from '../src/session/host-facts.js';
import { busyboxRoot } from './busybox-root.js';

const n = need('busybox', 'root');

describe.skipIf(!n.ok)(n.title('namespaces'), () => {
  let rootfs = '';
  const run = (script: string, options: RunOptions = {}) => runContainer({ rootfs, command: ['sh', '-c', script], ...options });
  const links = 'for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done';
  beforeAll(() => {
    rootfs = busyboxRoot();
  });

  it.each([
    // Layers are shown with mapped ids from Linux 6.15 on: userns/default-userns.ts.
    ['are all new, the user namespace where the kernel can', {}, atLeast([6, 15]) ? [] : [expect.stringMatching(/^user:/)]],
    ['are all new but for user, when that is the host’s', { userns: 'host' } as const, [expect.stringMatching(/^user:/)]],
  ])('%s', async (_, options, shared) => {
    // Both live at that moment: the number of a namespace that is gone may be another's.
    await using box = await run('sleep 100', options);
    const a = await box.exec(['sh', '-c', links]).text();
    const b = await run(links, options).text();
    expect(a.split('\n').filter((line) => line !== '' && b.includes(line))).toEqual(shared);
  });

  it('can be another container’s, by path and by descriptor', async () => {
    await using other = await run('sleep 100', { hostname: 'other' });
    const path = `/proc/${other.pid}/ns`;
    expect(await run('hostname', { namespaces: { uts: `${path}/uts` } }).text()).toBe('other\n');
    using net = Fd.of(openSync(`${path}/net`, 'r'));
    const inode = await other.exec(['readlink', '/proc/self/ns/net']).text();
    expect(await run('readlink /proc/self/ns/net', { namespaces: { network: net } }).text()).toBe(inode);
  });

  it('are refused when they are something else', async () => {
    await expect(run('true', { namespaces: { network: '/etc/passwd' } }).result()).rejects.toThrow(/join the network namespace/);
    await expect(run('true', { namespaces: { network: '/no/such' } }).result()).rejects.toThrow(
      /join the network namespace: open "\/no\/such": ENOENT/,
    );
  });

  it('map ids when asked', async () => {
    const map = [{ containerId: 0, hostId: 100_000, size: 1000 }];
    expect(await run('id -u; cat /proc/self/uid_map', { userns: { uidMap: map, gidMap: map } }).text()).toMatch(/^0\n +0 +100000 +1000\n$/);
  });
});
