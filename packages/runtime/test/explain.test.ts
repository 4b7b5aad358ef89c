// explain() and checkHost(): they look, and change nothing.
import { leakCheck, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { checkHost, explain, runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

const n = need('busybox', process.getuid?.() === 0 ? 'root' : 'overlay-in-userns');

describe.skipIf(!n.ok)(n.title('looking'), () => {
  it('explains what would be done, and does not do it', async () => {
    const rootfs = busyboxRoot();
    await runContainer({ rootfs, command: ['true'] }).result();
    const leaks = leakCheck({ ignore: /\(Z, child of 1\)/ });
    const { oci, plan } = await explain({ rootfs, command: ['echo', 'hi'], hostname: 'box', name: 'web' });
    expect(oci.hostname).toBe('box');
    expect(plan.split('\n')[0]).toBe('start container "web"');
    for (const call of [
      'clone3(',
      'fsopen("overlay"',
      'pivot_root(".", ".")',
      'sethostname("box", 3)',
      'seccomp(',
      'execve("/usr/local/sbin/echo"',
    ])
      expect(plan).toContain(call);
    await leaks.assertClean();
  });

  it('refuses what runContainer() refuses', async () => {
    await expect(explain({ rootfs: '/', command: [] })).rejects.toThrow('expected "command" to be given');
    await expect(explain({ rootfs: '/no/such', command: ['x'] })).rejects.toThrow('ENOENT');
  });

  it('reports what the host can do', async () => {
    const host = await checkHost();
    expect(host).toMatchObject({
      ok: true,
      uid: process.geteuid?.(),
      features: { kernel: { ok: true }, launcher: { ok: true }, namespaces: { ok: true }, overlay: { ok: true }, seccomp: { ok: true } },
    });
    for (const [name, f] of Object.entries(host.features))
      if (!f.ok) expect([name, f.why, f.cure]).toEqual([name, expect.any(String), expect.any(String)]);
  });
});
