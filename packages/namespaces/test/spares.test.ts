// Network namespaces that the monitor makes ahead: whoever may take one does, and nobody sees a difference.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { need } from '@ctr/internal/testing';
import { afterAll, describe, expect, it } from 'vitest';
import type { SpawnOptions } from '../src/index.js';
import { Launcher } from '../src/launcher/launcher.js';
import { bundle, start } from './node-child.js';
import { leaks, shell } from './run.js';

const needs = need('root');
const MOST = 2;
const namespaces = { pid: 'new', mount: 'new', network: 'new' } as const;
const mounts: SpawnOptions['mounts'] = [
  { type: 'proc', target: '/proc' },
  { type: 'sysfs', target: '/sys' },
];

/** The network namespaces that a process keeps by a descriptor, as "net:[4026532000]". */
function keptBy(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder)
    .map((fd) => {
      try {
        return readlinkSync(`${folder}/${fd}`);
      } catch {
        return '';
      }
    })
    .filter((to) => to.startsWith('net:['));
}
const ready = (): string[] => keptBy(Launcher.current.pid);
const allReady = async (): Promise<string[]> => {
  await expect.poll(() => ready().length, { timeout: 10_000 }).toBe(MOST);
  return ready();
};
const network = (): Promise<string> => shell('readlink /proc/self/ns/net', { namespaces, mounts });

describe.skipIf(!needs.ok)(needs.title('a network namespace made ahead'), () => {
  let check: ReturnType<typeof leaks> | undefined;
  afterAll(() => check?.assertClean());

  it('is taken by the next container, once, and another one is made', async () => {
    await network();
    const first = await allReady();
    // What makes the scripts keeps running.
    await bundle('');
    check = leaks();
    const taken = await network();
    expect(first).toContain(taken);
    expect(await allReady()).not.toContain(taken);
  });

  it('is not what two get: whoever comes too late makes one', async () => {
    const before = await allReady();
    const all = await Promise.all(Array.from({ length: 6 }, network));
    expect(new Set(all).size).toBe(6);
    expect(all.filter((n) => before.includes(n)).length).toBe(MOST);
    await allReady();
  });

  it('is as empty as a new one, with its loopback up', async () => {
    const look =
      'cat /sys/class/net/*/flags /proc/net/dev /proc/net/route /proc/net/if_inet6 /proc/net/unix /proc/net/tcp | sed "s/^0000.*//"';
    await allReady();
    const spare = await shell(look, { namespaces, mounts });
    // Of a user namespace: no spare one could be its own.
    const fresh = await shell(look, { namespaces: { ...namespaces, user: 'new' }, mounts });
    expect(spare).toBe(fresh);
    expect(spare).toMatch(/^0x9\nInter-/);
  });

  it('is not asked for by who has users, a network or a loopback of his own kind', async () => {
    const script = `
      import { monitorPid, spawn } from 'ns';
      import { setTimeout as sleep } from 'node:timers/promises';
      const run = async (namespaces, o) => (await spawn({ args: ['true'], env: process.env, namespaces, ...o })).cleaned;
      await run({ user: 'new', network: 'new' });
      await run({ network: 'host' });
      await run({ network: 'new' }, { loopback: false });
      await sleep(100);
      console.log(monitorPid());
      await sleep(100_000);`;
    const child = start(await bundle(script));
    expect(keptBy(Number(await child.line()))).toEqual([]);
    child.process.kill('SIGKILL');
    await child.ended;
  });

  it('that cannot be made is tried once: containers make their own', async () => {
    const script = `
      import { Launcher, monitorPid, planSource, spawn } from 'ns';
      import { setTimeout as sleep } from 'node:timers/promises';
      const stages = { prepare: [], beside: [], enter: [], kill: [], collect: [], cleanup: [] };
      const steps = [{ call: 'socket', args: [2, 0x80002, 0], into: 'one' }, { call: 'unshare', args: [-1] }];
      const plan = { doing: 'try', cloneFlags: [], fds: {}, spare: { key: 1, steps }, stages: { ...stages, setup: [[{ call: 'finish', args: [0] }]] } };
      const ended = [];
      await Launcher.current.launch(planSource(plan), (e) => ended.push(e));
      await sleep(100);
      const p = await spawn({ args: ['true'], env: process.env, namespaces: { network: 'new' } });
      await p.cleaned;
      await sleep(100);
      console.log(monitorPid(), (await p.exited).exitCode);
      await sleep(100_000);`;
    const child = start(await bundle(script));
    const [pid, code] = (await child.line()).split(' ').map(Number);
    expect(code).toBe(0);
    expect(keptBy(pid as number)).toEqual([]);
    // Two sockets: what orders come and answers go by; not the half-made third.
    const sockets = readdirSync(`/proc/${pid}/fd`).filter((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:'));
    expect(sockets.length).toBe(1);
    expect(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')).toBe('');
    child.process.kill('SIGKILL');
    await child.ended;
  });

  it('ends with the monitor, also while it is being made', async () => {
    const script = `
      import { monitorPid, spawn } from 'ns';
      const one = async () => (await spawn({ args: ['true'], env: process.env, namespaces: { network: 'new' } })).cleaned;
      await one();
      console.log(monitorPid());
      for (;;) await one();`;
    const child = start(await bundle(script));
    const monitor = Number(await child.line());
    const inside = `/proc/${monitor}/task/${monitor}/children`;
    await expect.poll(() => readFileSync(inside, 'utf8'), { timeout: 10_000 }).not.toBe('');
    child.process.kill('SIGKILL');
    await child.ended;
    const gone = (): boolean => {
      try {
        return readFileSync(inside, 'utf8') === 'never';
      } catch {
        return true;
      }
    };
    await expect.poll(gone, { timeout: 5000 }).toBe(true);
  });
});
