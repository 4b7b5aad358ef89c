// An ordinary user in cgroups that were handed to it: limits work without root. This file's process becomes that user.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canEnforce, createCgroup, detectCgroups, openParent } from '../src/index.js';
import { endChildren, exitOf, randomName, startWaiting } from './support.js';

const NOBODY = 65_534;
const MB = 1024 * 1024;
const n = need('root', 'cgroup:memory', 'cgroup:pids');

/** Root's hand, for what only it may do once we are nobody: move us back and remove the directories. */
let root: ChildProcess;
const handed: string[] = [];

/** What systemd's Delegate=yes does: the directory and the files that move processes and enable controllers. */
function hand(directory: string): void {
  mkdirSync(directory);
  handed.push(directory);
  chownSync(directory, NOBODY, NOBODY);
  for (const file of ['cgroup.procs', 'tasks', 'cgroup.threads', 'cgroup.subtree_control'])
    if (existsSync(`${directory}/${file}`)) chownSync(`${directory}/${file}`, NOBODY, NOBODY);
  writeFileSync(`${directory}/cgroup.procs`, `${process.pid}`);
}

/** A cgroup2 cgroup gets its controllers from the one above, where only root may enable them. */
function enable(directory: string): void {
  for (const c of ['memory', 'pids']) {
    if (readFileSync(`${directory}/cgroup.controllers`, 'utf8').split(/\s/).includes(c))
      writeFileSync(`${directory}/cgroup.subtree_control`, `+${c}`);
  }
}

describe.skipIf(!n.ok)(n.title('a delegated cgroup'), () => {
  const name = randomName();

  beforeAll(async () => {
    const host = await detectCgroups();
    const own = new Set(['memory', 'pids', 'freezer'].flatMap((c) => host.controllers[c]?.directory ?? []));
    if (host.unified !== null) own.add(host.unified.directory);
    // A cgroup2 cgroup that holds processes, as that of a service does, cannot give controllers: then it is one above that hands them out.
    const above = new Map([...own].map((d) => [d, d === host.unified?.directory ? host.unified.parentDirectory : d]));
    if (host.unified !== null) enable(host.unified.parentDirectory);
    const back = [...above].map(([d, at]) => `echo ${process.pid} > ${d}/cgroup.procs; rmdir ${at}/${name}`).join('; ');
    root = spawn('sh', ['-c', `read go; ${back}`], { stdio: ['pipe', 'inherit', 'inherit'] });
    for (const d of above.values()) hand(`${d}/${name}`);
    process.setgroups?.([]);
    process.setgid?.(NOBODY);
    process.setuid?.(NOBODY);
  });

  afterAll(async () => {
    await endChildren();
    root.stdin?.end('\n');
    await once(root, 'exit');
    for (const d of handed) expect(existsSync(d), d).toBe(false);
  });

  it('gives limits to a user who is not root, and takes everything back', async () => {
    expect(process.getuid?.()).toBe(NOBODY);
    const parent = await openParent('mine', { moveSelf: true });
    for (const d of parent.directories)
      expect(
        handed.some((h) => d.startsWith(`${h}/`)),
        d,
      ).toBe(true);
    expect(canEnforce(parent, { memory: 24 * MB, pids: 5 })).toMatchObject({ ok: true });
    const again = await openParent('mine', { moveSelf: true });
    expect(again.directories).toEqual(parent.directories);
    const box = await createCgroup(parent, 'box', { memory: 24 * MB, pids: 5 });
    const child = startWaiting('exec tail /dev/zero');
    await box.add(child.pid);
    child.go();
    expect((await exitOf(child)).signal).toBe('SIGKILL');
    expect(await box.stats()).toMatchObject({ memory: { oomKills: 1, limitBytes: 24 * MB }, pids: { limit: 5 } });
    await box.remove();
    await parent.remove();
    for (const d of handed) {
      expect(readFileSync(`${d}/cgroup.procs`, 'utf8').split('\n'), d).toContain(`${process.pid}`);
      expect(
        readdirSync(d, { withFileTypes: true }).filter((e) => e.isDirectory()),
        d,
      ).toEqual([]);
    }
  });

  it('without moveSelf on v2, whose own cgroup holds processes, is told how to get controllers', async () => {
    const host = await detectCgroups();
    if (host.controllers['memory']?.version !== 2) return expect(host.controllers['memory']?.writable).toBe(true);
    const parent = await openParent('mine');
    expect(canEnforce(parent, { memory: MB }).missing[0]?.hint).toContain('moveSelf');
    await parent.remove();
  });
});
