// Every kind of namespace: made new, joined, left as it is; user maps; names; the loopback interface.
import { openSync, readlinkSync, statSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ContainerProcess, Fd, NAMESPACE_KINDS, type NamespaceKind, type SpawnOptions, spawn } from '../src/index.js';
import { NAMESPACE_FILE } from '../src/plan/clone-flags.js';
import { asRoot, ENV, messageOf, run, shell, WAYS } from './run.js';

const userns = need('userns');
const ordinary = need('ordinary-user');
const root = need('root');

/** All kinds by their links, as a program sees them. */
async function seen(o: Partial<SpawnOptions>): Promise<Record<string, string>> {
  const files = NAMESPACE_KINDS.map((k) => `/proc/self/ns/${NAMESPACE_FILE[k]}`);
  const links = (await shell(files.map((f) => `readlink ${f}`).join('; '), o)).split('\n');
  return Object.fromEntries(NAMESPACE_KINDS.map((k, i) => [k, links[i] as string]));
}

const ownLink = (kind: NamespaceKind): string => readlinkSync(`/proc/self/ns/${NAMESPACE_FILE[kind]}`);
const needsUser = asRoot ? {} : ({ user: 'new' } as const);

describe('new namespaces', () => {
  it('none by default', async () => {
    expect(await seen({})).toEqual(Object.fromEntries(NAMESPACE_KINDS.map((k) => [k, ownLink(k)])));
  });

  describe.skipIf(!userns.ok)(userns.title('one at a time'), () => {
    it.each(NAMESPACE_KINDS)('%s', async (kind) => {
      const inside = await seen({ namespaces: { ...needsUser, [kind]: 'new' } });
      const differing = NAMESPACE_KINDS.filter((k) => inside[k] !== ownLink(k));
      expect(differing).toEqual(NAMESPACE_KINDS.filter((k) => k === kind || (k === 'user' && !asRoot)));
    });

    it('all at once, and the process says which it has', async () => {
      const all = Object.fromEntries(NAMESPACE_KINDS.map((k) => [k, 'new']));
      const p = await spawn({ args: ['true'], env: ENV, namespaces: all, stdio: ['ignore', 'ignore', 'ignore'] });
      expect([...p.namespaces].sort()).toEqual([...NAMESPACE_KINDS].sort());
      await p.cleaned;
      const inside = await seen({ namespaces: all });
      expect(NAMESPACE_KINDS.filter((k) => inside[k] === ownLink(k))).toEqual([]);
    });

    it('pid: the program is the first process', async () => {
      expect(await shell('echo $$', { namespaces: { ...needsUser, pid: 'new' } })).toBe('1');
    });

    it('uts: the names are its own', async () => {
      const o: Partial<SpawnOptions> = { namespaces: { ...needsUser, uts: 'new' }, hostname: 'box', domainname: 'example.test' };
      expect(await shell('uname -n; cat /proc/sys/kernel/domainname', o)).toBe('box\nexample.test');
      expect(await shell('uname -n')).not.toBe('box');
    });

    it('network: only lo, up unless told otherwise', async () => {
      const names: Partial<SpawnOptions> = {
        namespaces: { ...needsUser, network: 'new', mount: 'new' },
        mounts: [{ type: 'sysfs', target: '/sys' }],
      };
      expect(await shell('ls /sys/class/net; cat /sys/class/net/lo/flags', names)).toBe('lo\n0x9');
      expect(await shell('cat /sys/class/net/lo/flags', { ...names, loopback: false })).toBe('0x8');
    });
  });
});

describe.skipIf(!userns.ok)(userns.title('namespaces joined by descriptor'), () => {
  let holder: ContainerProcess;
  const open = new Map<NamespaceKind, Fd>();
  beforeAll(async () => {
    const namespaces = Object.fromEntries(NAMESPACE_KINDS.filter((k) => !asRoot || k !== 'user').map((k) => [k, 'new']));
    holder = await spawn({ args: ['sleep', '600'], env: ENV, namespaces, hostname: 'holder', stdio: ['ignore', 'ignore', 'ignore'] });
    for (const k of Object.keys(namespaces) as NamespaceKind[])
      open.set(k, Fd.of(openSync(`/proc/${holder.pid}/ns/${NAMESPACE_FILE[k]}`, 'r')));
  });
  afterAll(async () => {
    for (const fd of open.values()) fd.close();
    await holder?.[Symbol.asyncDispose]();
  });
  const linkOf = (kind: NamespaceKind): string => readlinkSync(`/proc/${holder.pid}/ns/${NAMESPACE_FILE[kind]}`);
  const fdOf = (kind: NamespaceKind): Fd => open.get(kind) as Fd;
  const joinUser = (): SpawnOptions['namespaces'] => (asRoot ? {} : { user: fdOf('user') });

  it.each(NAMESPACE_KINDS.filter((k) => k !== 'user'))('%s', async (kind) => {
    const inside = await seen({ namespaces: { ...joinUser(), [kind]: fdOf(kind) } });
    expect(inside[kind]).toBe(linkOf(kind));
    const others = NAMESPACE_KINDS.filter((k) => k !== kind && (asRoot || k !== 'user'));
    expect(others.filter((k) => inside[k] !== ownLink(k))).toEqual([]);
    expect(fdOf(kind).closed).toBe(false);
  });

  it('all at once', async () => {
    const inside = await seen({ namespaces: Object.fromEntries([...open]) });
    expect(inside).toEqual(Object.fromEntries(NAMESPACE_KINDS.map((k) => [k, open.has(k) ? linkOf(k) : ownLink(k)])));
  });

  it('time, together with a new pid namespace', async () => {
    const inside = await seen({ namespaces: { ...joinUser(), pid: 'new', time: fdOf('time') } });
    expect(inside['time']).toBe(linkOf('time'));
  });

  it('pid: among the processes of the holder', async () => {
    const r = await run({ args: ['sh', '-c', 'echo $$; kill -0 1 && echo sees 1'], namespaces: { ...joinUser(), pid: fdOf('pid') } });
    expect(r.stdout).toMatch(/^[2-9]\d*\nsees 1\n$/);
  });

  it('of the wrong kind are refused by the kernel, with the step', async () => {
    const work = run({ args: ['true'], namespaces: { ...joinUser(), network: fdOf('uts') } });
    expect(await messageOf(work)).toMatchInlineSnapshot(`
      "start true: join the network namespace: setns: EINVAL (invalid argument)
        setns(ns.network, CLONE_NEWNET)"
    `);
  });

  it('are joined before a new user namespace is made, in which the right to do so is gone', async () => {
    const kinds = NAMESPACE_KINDS.filter((k) => k !== 'user');
    const work = seen({ namespaces: { ...Object.fromEntries(kinds.map((k) => [k, fdOf(k)])), user: 'new' } });
    // An ordinary user has that right nowhere outside.
    if (!asRoot) return expect(await messageOf(work)).toMatch(/setns: EPERM/);
    const inside = await work;
    expect(Object.fromEntries(kinds.map((k) => [k, inside[k]]))).toEqual(Object.fromEntries(kinds.map((k) => [k, linkOf(k)])));
    expect(inside['user']).not.toBe(ownLink('user'));
  });
});

describe.skipIf(!userns.ok)(userns.title('user namespaces'), () => {
  const ids = 'id -u; id -g; tr -s " " </proc/self/uid_map; tr -s " " </proc/self/gid_map; cat /proc/self/setgroups';

  it('make this user 0 by default', async () => {
    const [uid, gid] = [process.geteuid?.(), process.getegid?.()];
    expect(await shell(ids, { namespaces: { user: 'new' } })).toBe(`0\n0\n 0 ${uid} 1\n 0 ${gid} 1\n${asRoot ? 'allow' : 'deny'}`);
  });

  it('run the program as a user that the map has', async () => {
    const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
    const idMaps = { uid: [{ containerId: 0, hostId: uid, size: 1 }], gid: [{ containerId: 0, hostId: gid, size: 1 }] };
    expect(await shell('id -u', { namespaces: { user: 'new' }, idMaps, user: { uid: 0, gid: 0 } })).toBe('0');
  });

  it.skipIf(!root.ok)(root.title('map a range, which owns what the container makes'), async () => {
    const dir = makeTempDir('owned');
    const { chmodSync } = await import('node:fs');
    chmodSync(dir, 0o777);
    const map = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
    const o: Partial<SpawnOptions> = { namespaces: { user: 'new', pid: 'new' }, idMaps: { uid: map, gid: map } };
    expect(await shell(ids, o)).toBe('0\n0\n 0 100000 65536\n 0 100000 65536\nallow');
    const user = { uid: 1000, gid: 1001, groups: [5, 6] };
    expect(await shell(`id -u; id -g; id -G; touch ${dir}/file`, { ...o, user })).toBe('1000\n1001\n1001 5 6');
    const { uid, gid } = statSync(path.join(dir, 'file'));
    expect([uid, gid]).toEqual([101_000, 101_001]);
  });

  it.skipIf(!root.ok)(root.title('map several ranges'), async () => {
    const map = [
      { containerId: 0, hostId: 100_000, size: 10 },
      { containerId: 1000, hostId: 200_000, size: 1 },
    ];
    const o: Partial<SpawnOptions> = { namespaces: { user: 'new' }, idMaps: { uid: map, gid: map }, user: { uid: 1000, gid: 9 } };
    expect(await shell('id -u; id -g', o)).toBe('1000\n9');
  });

  it('refuse a user whom the map has not', async () => {
    const work = run({ args: ['true'], namespaces: { user: 'new' }, user: { uid: 12, gid: 0 } });
    expect(await messageOf(work)).toMatchInlineSnapshot(`
      "start true: become uid 12, gid 0: setresuid: EINVAL (invalid argument)
        setresuid(12, 12, 12)"
    `);
  });

  it.skipIf(!ordinary.ok)(ordinary.title('refuse ids that are not this user’s'), async () => {
    const map = [{ containerId: 0, hostId: 0, size: 1 }];
    const message = await messageOf(run({ args: ['true'], namespaces: { user: 'new' }, idMaps: { uid: map, gid: map } }));
    // The reason, and what an administrator does about it; with ranges it is these ids that are wrong.
    expect(message).toMatch(/ids beside this user’s own .* \/etc\/subuid[\s\S]*hint: |ids that this user may map/);
  });

  it.each(WAYS.filter((w) => w.user === 'new'))('nest: a namespace in a namespace ($way)', async () => {
    expect(await shell('unshare -U -r id -u', { namespaces: { user: 'new', pid: 'new' } })).toBe('0');
  });
});
