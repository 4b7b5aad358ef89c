// Who the program is and what it may: ids, groups, capabilities, no_new_privs, limits, oom_score_adj.

import { readFileSync } from 'node:fs';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { capabilityMask, DEFAULT_CAPABILITIES, type SpawnOptions } from '../src/index.js';
import { asRoot, messageOf, run, shell, WAYS } from './run.js';

const root = need('root');
const ordinary = need('ordinary-user');
const userns = need('userns');

/** Fields of /proc/self/status by name. */
async function status(o: Partial<SpawnOptions>): Promise<Record<string, string>> {
  const text = await shell('cat /proc/self/status', o);
  return Object.fromEntries(text.split('\n').map((l) => l.split(/:\s*/, 2) as [string, string]));
}

const hex = (names: readonly string[]): string => capabilityMask(names).toString(16).padStart(16, '0');
const none = '0'.repeat(16);
const sets = (all: readonly string[]) => ({ bounding: all, effective: all, permitted: all, inheritable: [], ambient: [] }) as never;

describe.skipIf(!root.ok)(root.title('ids'), () => {
  it('are those that are given, and no group of ours comes along', async () => {
    const s = await status({ user: { uid: 1234, gid: 2345 } });
    expect([s['Uid'], s['Gid'], s['Groups']?.trim()]).toEqual(['1234\t1234\t1234\t1234', '2345\t2345\t2345\t2345', '']);
  });

  it('may have further groups, as many as wanted', async () => {
    const groups = Array.from({ length: 300 }, (_, i) => 10_000 + i);
    expect((await status({ user: { uid: 1, gid: 1, groups } }))['Groups']?.trim().split(' ').map(Number)).toEqual(groups);
  });

  it('take the capabilities away, unless they are given', async () => {
    expect((await status({ user: { uid: 1, gid: 1 } }))['CapEff']).toBe(none);
  });
});

describe.skipIf(!userns.ok)(userns.title('capabilities'), () => {
  describe.each(WAYS)('$way', ({ user }) => {
    const namespaces = { user };
    it('are the four sets that are given', async () => {
      const s = await status({ namespaces, capabilities: sets(DEFAULT_CAPABILITIES) });
      const all = hex(DEFAULT_CAPABILITIES);
      expect([s['CapBnd'], s['CapEff'], s['CapPrm'], s['CapInh'], s['CapAmb']]).toEqual([all, all, all, none, none]);
    });

    it('may be none at all', async () => {
      const s = await status({ namespaces, capabilities: sets([]) });
      expect([s['CapBnd'], s['CapEff'], s['CapPrm'], s['CapInh'], s['CapAmb']]).toEqual([none, none, none, none, none]);
    });

    it('may be ambient', async () => {
      const one = ['CAP_CHOWN', 'CAP_KILL'];
      const s = await status({ namespaces, capabilities: { ...(sets(one) as object), inheritable: one, ambient: ['CAP_KILL'] } as never });
      expect([s['CapInh'], s['CapAmb']]).toEqual([hex(one), hex(['CAP_KILL'])]);
    });

    it('may be permitted and not effective', async () => {
      const c = { bounding: ['CAP_CHOWN'], effective: [], permitted: ['CAP_CHOWN'], inheritable: [], ambient: [] };
      // uid 0 gets what the bounding set has at exec (capabilities(7)); the bounding set is what holds.
      expect((await status({ namespaces, capabilities: c as never }))['CapBnd']).toBe(hex(['CAP_CHOWN']));
    });
  });

  it.skipIf(!root.ok)(root.title('stay with another user, when they are ambient'), async () => {
    const one = ['CAP_NET_BIND_SERVICE'];
    const capabilities = { ...(sets(one) as object), inheritable: one, ambient: one } as never;
    const s = await status({ user: { uid: 1234, gid: 1234 }, capabilities });
    expect([s['Uid']?.split('\t')[0], s['CapEff'], s['CapPrm']]).toEqual(['1234', hex(one), hex(one)]);
  });

  it.skipIf(!ordinary.ok)(ordinary.title('that this user has not are refused'), async () => {
    expect(await messageOf(run({ args: ['true'], capabilities: sets(['CAP_CHOWN']) }))).toMatchInlineSnapshot(`
      "start true: drop CAP_DAC_OVERRIDE: prctl: EPERM (operation not permitted)
        prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)"
    `);
  });
});

describe('no_new_privs', () => {
  it('is set when asked for', async () => {
    expect((await status({}))['NoNewPrivs']).toBe(/NoNewPrivs:\s*1/.test(readFileSync('/proc/self/status', 'utf8')) ? '1' : '0');
    expect((await status({ noNewPrivileges: true }))['NoNewPrivs']).toBe('1');
  });
});

describe('resource limits', () => {
  it('are those that are given', async () => {
    const rlimits = { nofile: { soft: 100, hard: 200 }, core: { soft: 0, hard: 0 }, stack: { soft: 1 << 20, hard: 1 << 22 } };
    expect(await shell('ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Ss; ulimit -Hs', { rlimits })).toBe('100\n200\n0\n1024\n4096');
  });

  it('do not come back to the launcher', async () => {
    await shell('true', { rlimits: { nofile: { soft: 10, hard: 10 } }, namespaces: asRoot ? { pid: 'new' } : { user: 'new', pid: 'new' } });
    expect(Number(await shell('ulimit -Hn'))).toBeGreaterThan(100);
  });

  it('above this process’s own are refused with the cure, where this process may not raise them', async () => {
    const hard = Number(/Max open files\s+\d+\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]);
    const message = await messageOf(run({ args: ['true'], rlimits: { nofile: { soft: 10, hard: hard + 1 } } }));
    // A process with CAP_SYS_RESOURCE may.
    const privileged = (BigInt(`0x${/CapEff:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]}`) & (1n << 24n)) !== 0n;
    if (privileged) expect(message).toBe('nothing was thrown');
    else
      expect(message.replace(/\d{4,}/g, 'N')).toMatchInlineSnapshot(`
        "start true: set the limit nofile: prlimit64: EPERM (operation not permitted)
          prlimit64(0, RLIMIT_NOFILE, {10, N}, NULL)
          hint: raising a hard limit needs CAP_SYS_RESOURCE; ask for no more than the present hard limit"
      `);
  });
});

describe('oom_score_adj', () => {
  const read = 'cat /proc/self/oom_score_adj';
  const own = Number(readFileSync('/proc/self/oom_score_adj', 'utf8'));
  it.each([
    ['in the host’s namespaces', {}],
    ...(userns.ok ? ([['in a pid namespace', { pid: 'new', ...(asRoot ? {} : { user: 'new' }) }]] as const) : []),
    ...(userns.ok ? ([['in a user namespace', { user: 'new' }]] as const) : []),
  ] as [string, SpawnOptions['namespaces']][])('is the program’s, and only its (%s)', async (_, namespaces) => {
    expect(await shell(read, { namespaces, oomScoreAdj: 900 } as Partial<SpawnOptions>)).toBe('900');
    expect(await shell(read)).toBe(String(own));
  });
});

describe('the launcher', () => {
  it('leaves no file of its own in the program’s directory', async () => {
    const dir = makeTempDir('cwd');
    expect(await shell('ls -A', { cwd: dir })).toBe('');
  });
});
