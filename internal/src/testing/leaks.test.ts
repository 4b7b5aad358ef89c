// The leak check must see each kind of leak: a blind one makes every clean-up test worthless.
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { host, leakCheck, makeTempDir, need, ownCgroups } from './index.js';

const cgroups = need('root', 'cgroup:memory');

describe('leakCheck', () => {
  it('is clean when nothing happened', async () => {
    await leakCheck().assertClean({ withinMs: 2000 });
  });

  it('sees a child process, and waits for its end', async () => {
    const check = leakCheck();
    const child = spawn('sleep', ['30'], { stdio: 'ignore' });
    await expect(check.assertClean({ withinMs: 20 })).rejects.toThrow(`process ${child.pid} sleep`);
    child.kill();
    await check.assertClean({ withinMs: 5000 });
  });

  it('sees the orphans of a killed process that it watched', async () => {
    const check = leakCheck();
    const parent = spawn('sh', ['-c', 'sleep 30 & echo started; wait'], { stdio: ['ignore', 'pipe', 'ignore'] });
    await new Promise((resolve) => parent.stdout.once('data', resolve));
    check.watch(parent.pid ?? 0);
    parent.kill('SIGKILL');
    await new Promise((resolve) => parent.once('exit', resolve));
    const orphan = check.left().find((l) => l.includes('sleep'));
    expect(orphan).toMatch(/process \d+ sleep \(S, of the killed one\)/);
    process.kill(Number(orphan?.split(' ')[1]), 'SIGKILL');
    await check.assertClean({ withinMs: 5000 });
  });

  it('sees a descriptor and a file in a watched directory', async () => {
    const dir = makeTempDir('leak');
    const check = leakCheck({ directories: [dir] });
    const file = path.join(dir, 'left');
    writeFileSync(file, '');
    const fd = openSync(file, 'r');
    expect(check.left()).toEqual([`descriptor ${fd} -> ${file}`, `state ${file}`]);
    closeSync(fd);
    expect(check.left()).toEqual([`state ${file}`]);
  });

  it.skipIf(!cgroups.ok)(cgroups.title('sees an empty control group'), async () => {
    const own = ownCgroups().find((c) => c.controllers.includes('memory') || (c.version === 2 && host.can('cgroup2:memory')));
    const check = leakCheck();
    const dir = path.join(own?.directory ?? '', `ctr-leak-${process.pid}`);
    mkdirSync(dir);
    try {
      expect(check.left()).toContain(`control group ${dir}`);
    } finally {
      rmdirSync(dir);
    }
    await check.assertClean();
  });
});
