// Namespaces joined by whatever names them: a process, a pid, a path; the order in which that is allowed; clocks; and no
// user namespaces inside.
import { openSync, readlinkSync } from 'node:fs';
import { need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ContainerProcess, Fd, NAMESPACE_KINDS, type NamespaceKind, namespacesOf, type SpawnOptions, spawn } from '../src/index.js';
import { NAMESPACE_FILE } from '../src/plan/clone-flags.js';
import { asRoot, ENV, leaks, messageOf, run, shell, WAYS } from './run.js';

const userns = need('userns');
const root = need('root');
const IGNORE = ['ignore', 'ignore', 'ignore'] as const;

async function seen(o: Partial<SpawnOptions>): Promise<Record<string, string>> {
  const links = (await shell(NAMESPACE_KINDS.map((k) => `readlink /proc/self/ns/${NAMESPACE_FILE[k]}`).join('; '), o)).split('\n');
  return Object.fromEntries(NAMESPACE_KINDS.map((k, i) => [k, links[i] as string]));
}
const linksOf = (pid: number | 'self'): Record<string, string> =>
  Object.fromEntries(NAMESPACE_KINDS.map((k) => [k, readlinkSync(`/proc/${pid}/ns/${NAMESPACE_FILE[k]}`)]));

describe.skipIf(!userns.ok)(userns.title('namespaces of another process'), () => {
  describe.each(WAYS)('$way', ({ user }) => {
    let holder: ContainerProcess;
    const all = (source: NonNullable<SpawnOptions['namespaces']>[NamespaceKind]) =>
      Object.fromEntries(NAMESPACE_KINDS.map((k) => [k, source]));
    beforeAll(async () => {
      const namespaces = { ...all('new'), user };
      holder = await spawn({ args: ['sleep', '600'], env: ENV, namespaces, stdio: IGNORE });
    });
    afterAll(() => holder?.[Symbol.asyncDispose]());

    it('all, by its handle', async () => expect(await seen({ namespaces: all(holder) })).toEqual(linksOf(holder.pid)));
    it('all, by its pid', async () => expect(await seen({ namespaces: all(holder.pid) })).toEqual(linksOf(holder.pid)));

    it.each(NAMESPACE_KINDS)('%s, by a path', async (kind) => {
      const path = `/proc/${holder.pid}/ns/${NAMESPACE_FILE[kind]}`;
      const inside = await seen({ namespaces: { user: holder, [kind]: path } });
      expect(inside[kind]).toBe(linksOf(holder.pid)[kind]);
    });

    it('a process in some of them, and new ones for the rest', async () => {
      const inside = await seen({ namespaces: { user: holder, network: holder, ipc: holder, pid: 'new', mount: 'new', uts: 'new' } });
      const there = linksOf(holder.pid);
      const same = NAMESPACE_KINDS.filter((k) => inside[k] === there[k]);
      const shared = user === 'new' ? ['user', 'network', 'ipc'] : ['user', 'network', 'ipc'];
      expect(same.filter((k) => ['network', 'ipc', 'user', 'pid', 'mount', 'uts'].includes(k)).sort()).toEqual(shared.sort());
    });

    it('leaves no descriptor behind, also when it fails', async () => {
      await run({ args: ['true'], namespaces: all(holder) });
      const check = leaks();
      for (let i = 0; i < 5; i++) await run({ args: ['true'], namespaces: all(holder.pid) });
      await messageOf(run({ args: ['/nowhere'], namespaces: all(holder) }));
      await messageOf(run({ args: ['true'], namespaces: { user: holder, network: '/proc/self/ns/nothing' } }));
      await check.assertClean();
    });

    it('of one that has ended are refused', async () => {
      const ended = await spawn({ args: ['true'], env: ENV, namespaces: { user, uts: 'new' }, stdio: IGNORE });
      await ended.cleaned;
      const message = await messageOf(run({ args: ['true'], namespaces: { uts: ended } }));
      expect(message.replace(String(ended.pid), '<pid>')).toMatchInlineSnapshot(`
        "join the uts namespace of process <pid>: setns: ESRCH (no such process)
          hint: the process has ended"
      `);
    });
  });

  it('a path that is no namespace is refused before anything starts', async () => {
    expect(await messageOf(run({ args: ['true'], namespaces: { network: '/etc/passwd' } }))).toMatchInlineSnapshot(
      `"expected "namespace" to be the path of a namespace, such as /run/netns/name or /proc/<pid>/ns/net, received "/etc/passwd" (string)"`,
    );
    expect(await messageOf(run({ args: ['true'], namespaces: { network: '/proc/self/ns/uts' } }))).toMatchInlineSnapshot(
      `"expected "namespace" to be a network namespace, received "uts namespace" (string)"`,
    );
    expect(await messageOf(run({ args: ['true'], namespaces: { network: '/nowhere' } }))).toMatchInlineSnapshot(
      `"open the network namespace /nowhere: open "/nowhere": ENOENT (no such file or directory)"`,
    );
  });

  it.skipIf(!root.ok)(root.title('what is owned outside is joined before the user namespace, what is owned inside after it'), async () => {
    await using box = await spawn({ args: ['sleep', '600'], env: ENV, namespaces: { user: 'new', uts: 'new' }, stdio: IGNORE });
    await using net = await spawn({ args: ['sleep', '600'], env: ENV, namespaces: { network: 'new' }, stdio: IGNORE });
    const inside = await seen({ namespaces: { user: box, uts: box, network: net } });
    const [a, b] = [linksOf(box.pid), linksOf(net.pid)];
    expect([inside['user'], inside['uts'], inside['network']]).toEqual([a['user'], a['uts'], b['network']]);
  });

  it('this process’s own user namespace is no obstacle', async () => {
    using own = Fd.of(openSync('/proc/self/ns/user', 'r'));
    for (const user of [own, process.pid, '/proc/self/ns/user'])
      expect((await seen({ namespaces: { user } }))['user']).toBe(linksOf('self')['user']);
  });

  it('the handle says which namespaces are its own', async () => {
    const p = await spawn({
      args: ['sleep', '600'],
      env: ENV,
      namespaces: asRoot ? { uts: 'new' } : { user: 'new', uts: 'new' },
      stdio: IGNORE,
    });
    const [mine, its] = [namespacesOf(), namespacesOf(p)];
    expect(NAMESPACE_KINDS.filter((k) => mine[k] !== its[k]).sort()).toEqual([...p.namespaces].sort());
    await p[Symbol.asyncDispose]();
  });
});

describe.skipIf(!userns.ok)(userns.title('clocks'), () => {
  const clocks = async (o: Partial<SpawnOptions>): Promise<{ offsets: string; uptime: number }> => {
    const out = await shell("tr -s ' ' </proc/self/timens_offsets; cut -d' ' -f1 /proc/uptime", o);
    const lines = out.split('\n').map((l) => l.trim());
    return { offsets: lines.slice(0, -1).join('; '), uptime: Number(lines.at(-1)) };
  };

  it.each(WAYS)('of a new time namespace are the host’s plus the offsets, $way', async ({ user }) => {
    const before = await clocks({});
    const o: Partial<SpawnOptions> = { namespaces: { user, time: 'new' }, timeOffsets: { monotonic: -1.25, boottime: 864_000 } };
    const inside = await clocks(o);
    expect(inside.offsets).toBe('monotonic -2 750000000; boottime 864000 0');
    expect(inside.uptime - before.uptime).toBeGreaterThanOrEqual(863_999);
    expect(inside.uptime - before.uptime).toBeLessThan(865_000);
    // With a new pid namespace and a mount namespace too: procfs is the host's at that moment.
    expect((await clocks({ ...o, namespaces: { ...o.namespaces, pid: 'new', mount: 'new' } })).offsets).toBe(inside.offsets);
  });

  it.each(WAYS)('that the kernel does not take are an error with the step, $way', async ({ user }) => {
    const work = run({ args: ['true'], namespaces: { user, time: 'new' }, timeOffsets: { boottime: -9e9 } });
    expect(await messageOf(work)).toMatchInlineSnapshot(`
      "start true: set the clocks of the time namespace: write: ERANGE (out of range)
        write(timens, "boottime -9000000000 0\\n", 23)"
    `);
  });
});

describe.skipIf(!userns.ok)(userns.title('disableUserNamespaces'), () => {
  const makes = 'unshare -U true 2>&1 && echo makes one';

  it('the host lets this user make them', async () => expect(await shell(makes, { namespaces: { user: 'new' } })).toBe('makes one'));

  it('no one inside can make one, whatever he may do there', async () => {
    const o: Partial<SpawnOptions> = {
      namespaces: { user: 'new', pid: 'new', mount: 'new' },
      mounts: [{ type: 'proc', target: '/proc' }],
      disableUserNamespaces: true,
    };
    expect(await shell(`${makes} || echo refused`, o)).toMatch(/No space left on device\nrefused$/);
    // All capabilities, and the right to write the sysctl: of this namespace, not of the one around it.
    expect(
      await shell(`grep CapEff /proc/self/status; echo 1000 > /proc/sys/user/max_user_namespaces && ${makes} || echo refused`, o),
    ).toMatch(/CapEff:\t0*1[f]+\n.*No space left on device\nrefused$/s);
    expect(await shell("id -u; tr -s ' ' </proc/self/uid_map", o)).toBe('0\n 0 0 1');
  });

  it.skipIf(!root.ok)(root.title('with a range of ids'), async () => {
    const map = [
      { containerId: 0, hostId: 100_000, size: 1000 },
      { containerId: 5000, hostId: 200_000, size: 10 },
    ];
    const o: Partial<SpawnOptions> = {
      namespaces: { user: 'new' },
      disableUserNamespaces: true,
      idMaps: { uid: map, gid: map },
      user: { uid: 5001, gid: 7, groups: [9] },
    };
    expect(await shell(`id -u; id -G; tr -s ' ' </proc/self/uid_map; ${makes} || echo refused`, o)).toMatch(
      /^5001\n7 9\n 0 0 1000\n 5000 5000 10\n.*refused$/s,
    );
  });
});
