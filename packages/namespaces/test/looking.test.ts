// Looking at namespaces: what lsns shows, relations, pinning.
import { execFileSync } from 'node:child_process';
import { existsSync, openSync, readlinkSync } from 'node:fs';
import { need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type ContainerProcess,
  Fd,
  InvalidArgumentError,
  listNamespaces,
  NAMESPACE_KINDS,
  type NamespaceKind,
  namespacesOf,
  openNamespace,
  spawn,
} from '../src/index.js';
import { NAMESPACE_FILE } from '../src/plan/clone-flags.js';
import { asRoot, ENV, leaks, messageOf, shell, WAYS } from './run.js';

const userns = need('userns');
const root = need('root');
const IGNORE = ['ignore', 'ignore', 'ignore'] as const;
const inode = (link: string): number => Number(/\[(\d+)\]/.exec(link)?.[1]);
const caught = (work: () => unknown): Error => {
  try {
    work();
  } catch (e) {
    return e as Error;
  }
  throw new Error('nothing was thrown');
};

describe('namespacesOf', () => {
  it('this process', () => {
    const own = namespacesOf();
    expect(own).toEqual(Object.fromEntries(NAMESPACE_KINDS.map((k) => [k, inode(readlinkSync(`/proc/self/ns/${NAMESPACE_FILE[k]}`))])));
    expect(namespacesOf(process.pid)).toEqual(own);
  });

  it('one that is not there', () => {
    expect(caught(() => namespacesOf(4_194_304)).message).toMatch(/^look at the namespaces of process 4194304: readlink .*ENOENT/);
    expect(() => namespacesOf(0)).toThrow(InvalidArgumentError);
  });
});

describe.skipIf(!userns.ok)(userns.title('the namespaces of a container'), () => {
  describe.each(WAYS)('$way', ({ user }) => {
    let box: ContainerProcess;
    beforeAll(async () => {
      const namespaces = { ...Object.fromEntries(NAMESPACE_KINDS.map((k) => [k, 'new'])), user };
      box = await spawn({ args: ['sh', '-c', 'sleep 600 & sleep 600'], env: ENV, namespaces, stdio: IGNORE });
    });
    afterAll(() => box?.[Symbol.asyncDispose]());

    it('each can be opened, and says what it is', () => {
      for (const kind of NAMESPACE_KINDS) {
        using ns = openNamespace(box, kind);
        expect([ns.kind, `${ns}`]).toEqual([kind, readlinkSync(`/proc/${box.pid}/ns/${NAMESPACE_FILE[kind]}`)]);
      }
    });

    it('the owner is the user namespace in which it was made, and that is whose maker this user is', () => {
      using users = openNamespace(box, 'user');
      for (const kind of NAMESPACE_KINDS.filter((k) => k !== 'user')) {
        using ns = openNamespace(box, kind);
        using owner = ns.owner();
        expect([kind, owner?.equals(users)]).toEqual([kind, true]);
      }
      // The first user namespace is root's; of others it is who made it.
      expect(users.ownerUid()).toBe(process.geteuid?.());
    });

    it('the parent is the one around it, for those that have one', () => {
      for (const kind of NAMESPACE_KINDS) {
        using ns = openNamespace(box, kind);
        using parent = ns.parent();
        const around = kind === 'pid' || (kind === 'user' && user === 'new') ? namespacesOf()[kind] : undefined;
        expect([kind, parent?.id]).toEqual([kind, around]);
      }
    });

    it('equality is of the namespace, not of the descriptor', () => {
      using a = openNamespace(box, 'network');
      using b = openNamespace(box.pid, 'network');
      using c = openNamespace(Fd.of(openSync(`/proc/${box.pid}/ns/net`, 'r')));
      using own = openNamespace(process.pid, 'network');
      expect([a.equals(b), b.equals(c), a.equals(own), own.equals(openNamespace('/proc/self/ns/net'))]).toEqual([true, true, false, true]);
    });

    it('all are listed, with their processes and relations', async () => {
      const all = await listNamespaces();
      const ids = namespacesOf(box);
      for (const kind of NAMESPACE_KINDS) {
        const found = all.find((n) => n.kind === kind && n.id === ids[kind]);
        expect([kind, found?.pids.includes(box.pid)]).toEqual([kind, true]);
        if (kind !== 'user') expect([kind, found?.owner]).toEqual([kind, ids.user]);
      }
      expect(all.find((n) => n.id === ids.pid)).toMatchObject({ parent: namespacesOf().pid, mounts: [] });
      // The shell's children are there too, as soon as it has made them.
      const inside = async () => (await listNamespaces({ kinds: ['pid'] })).find((n) => n.id === ids.pid)?.pids;
      await expect.poll(inside, { timeout: 10_000 }).toHaveLength(3);
    });
  });

  it('outlives its last process while it is pinned, and is gone once it is released', async () => {
    const box = await spawn({
      args: ['sleep', '600'],
      env: ENV,
      namespaces: { user: 'new', uts: 'new' },
      hostname: 'pinned',
      stdio: IGNORE,
    });
    const uts = openNamespace(box, 'uts');
    const user = openNamespace(box, 'user');
    await box[Symbol.asyncDispose]();
    expect(await shell('hostname', { namespaces: { user, uts } })).toBe('pinned');
    const { id } = uts;
    expect((await listNamespaces({ kinds: ['uts'] })).filter((n) => n.id === id)).toEqual([]);
    uts.close();
    expect(() => uts.fd).toThrow(/closed/);
    user.close();
  });

  it('looking leaves no descriptor open', async () => {
    await listNamespaces();
    const check = leaks();
    await listNamespaces();
    using ns = openNamespace(process.pid, 'pid');
    ns.owner()?.close();
    ns.parent()?.close();
    ns.close();
    await check.assertClean();
  });
});

describe('listNamespaces', () => {
  it('only the kinds that are asked for', async () => {
    expect(new Set((await listNamespaces({ kinds: ['uts', 'ipc'] })).map((n) => n.kind))).toEqual(new Set(['uts', 'ipc']));
    expect(await messageOf(listNamespaces({ kinds: ['net' as NamespaceKind] }))).toMatch(/"kinds" to be of user, mount/);
  });

  it.skipIf(!existsSync('/usr/bin/lsns'))('agrees with lsns', async () => {
    interface Row {
      ns: number | string;
      type: string;
    }
    const lsns = (): Set<string> => {
      const out = JSON.parse(execFileSync('lsns', ['--json', '--list', '-o', 'NS,TYPE'], { encoding: 'utf8' })) as { namespaces: Row[] };
      return new Set(out.namespaces.map((r) => `${r.type} ${r.ns}`));
    };
    let ours = new Set<string>();
    const missing = async (): Promise<string[]> => {
      const before = lsns();
      ours = new Set((await listNamespaces()).map((n) => `${NAMESPACE_FILE[n.kind]} ${n.id}`));
      const after = lsns();
      return [...before].filter((n) => after.has(n) && !ours.has(n));
    };
    // Those that were there all the time: other tests make and end some meanwhile, and a number may be given to another one.
    await expect.poll(missing, { timeout: 10_000 }).toEqual([]);
    expect(ours.size).toBeGreaterThanOrEqual(8);
  });

  it.skipIf(!root.ok || !existsSync('/sbin/ip'))(root.title('one that only a mount keeps'), async () => {
    const name = `ctr-test-${process.pid}`;
    execFileSync('ip', ['netns', 'add', name]);
    try {
      const found = (await listNamespaces({ kinds: ['network'] })).find((n) => n.mounts.some((m) => m.endsWith(`/${name}`)));
      expect(found).toMatchObject({ kind: 'network', pids: [], owner: namespacesOf().user });
      using ns = openNamespace(`/run/netns/${name}`);
      expect([ns.kind, ns.id]).toEqual(['network', found?.id]);
      const seen = await shell('readlink /proc/self/ns/net', { namespaces: { network: `/run/netns/${name}` } });
      expect(inode(seen)).toBe(found?.id);
    } finally {
      execFileSync('ip', ['netns', 'del', name]);
    }
  });
});

describe('openNamespace', () => {
  it('says what it cannot open', () => {
    expect(caught(() => openNamespace('/etc/passwd')).message).toMatch(/to be the path of a namespace/);
    expect(caught(() => openNamespace(Fd.of(openSync('/etc/passwd', 'r')))).message).toMatch(/to be the descriptor of a namespace/);
    expect(caught(() => openNamespace('/proc/self/ns/uts', 'network')).message).toMatch(/to be a network namespace/);
    expect(caught(() => openNamespace(4_194_304, 'uts')).message).toMatch(
      /^open the uts namespace of process 4194304: open .*ENOENT[\s\S]*hint: the process has ended/,
    );
    expect(caught(() => openNamespace(process.pid)).message).toMatch(/"kind" to be one of/);
  });

  it('the outermost has neither owner nor parent to be seen', () => {
    using users = openNamespace(process.pid, 'user');
    using parent = users.parent();
    const initial = asRoot && namespacesOf().user === inode('user:[4026531837]');
    if (initial) expect(parent).toBeNull();
    expect(openNamespace(process.pid, 'network').ownerUid()).toBeUndefined();
  });
});
