import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { placeUnified } from './unified.js';

interface Files {
  controllers: string;
  subtree?: string;
  procs?: string;
  root?: boolean;
  type?: string;
}

/** A directory with the files of a cgroup2 cgroup. */
function cgroup(dir: string, f: Files): string {
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'cgroup.controllers'), `${f.controllers}\n`);
  writeFileSync(path.join(dir, 'cgroup.subtree_control'), `${f.subtree ?? ''}\n`);
  writeFileSync(path.join(dir, 'cgroup.procs'), f.procs ?? '');
  if (!f.root) writeFileSync(path.join(dir, 'cgroup.type'), `${f.type ?? 'domain'}\n`);
  return dir;
}

const WANTED = ['cpu', 'memory', 'pids'];

describe('the place on cgroup2 for a parent', () => {
  it('is our own cgroup when that is the root, which may hold processes and give controllers', async () => {
    const own = cgroup(makeTempDir('cg'), { controllers: 'cpu memory pids', procs: '1\n', root: true });
    expect(await placeUnified(own, own, WANTED)).toMatchObject({ parentDirectory: own, controllers: WANTED, writable: true });
  });

  it('is the nearest cgroup above that holds no process, when ours holds some', async () => {
    const root = cgroup(makeTempDir('cg'), { controllers: 'cpu memory pids', root: true });
    const slice = cgroup(path.join(root, 'app.slice'), { controllers: 'cpu memory pids' });
    const own = cgroup(path.join(slice, 'x.scope'), { controllers: 'memory pids', procs: '42\n' });
    const place = await placeUnified(own, root, WANTED);
    expect(place).toEqual({ directory: own, parentDirectory: slice, controllers: WANTED, available: ['memory', 'pids'], writable: true });
  });

  it('goes further up when that gives more controllers', async () => {
    const root = cgroup(makeTempDir('cg'), { controllers: 'cpu memory pids', procs: '1\n', root: true });
    const slice = cgroup(path.join(root, 'a'), { controllers: 'memory' });
    const own = cgroup(path.join(slice, 'b'), { controllers: 'memory', procs: '42\n' });
    expect((await placeUnified(own, root, WANTED)).parentDirectory).toBe(root);
  });

  it('says which controllers it gives when not all', async () => {
    const own = cgroup(makeTempDir('cg'), { controllers: 'cpu memory', procs: '1\n' });
    expect(await placeUnified(own, own, WANTED)).toEqual({
      directory: own,
      parentDirectory: own,
      controllers: [],
      available: ['cpu', 'memory'],
      writable: true,
      reason: `${own} gives its children no controllers`,
    });
  });

  it('is outside of a threaded subtree, in the nearest cgroup above that takes processes', async () => {
    const root = cgroup(makeTempDir('cg'), { controllers: 'cpu memory pids', procs: '1\n', root: true });
    const slice = cgroup(path.join(root, 'a'), { controllers: 'cpu pids', procs: '7\n' });
    const domain = cgroup(path.join(slice, 'b'), { controllers: 'cpu pids', subtree: 'cpu', type: 'domain threaded' });
    const own = cgroup(path.join(domain, 'c'), { controllers: 'cpu', type: 'threaded' });
    expect(await placeUnified(own, slice, ['cpu'])).toMatchObject({
      directory: own,
      parentDirectory: slice,
      controllers: [],
      writable: true,
    });
    expect((await placeUnified(own, root, WANTED)).parentDirectory).toBe(root);
  });

  it('is none where a threaded subtree is all that can be seen', async () => {
    const domain = cgroup(makeTempDir('cg'), { controllers: 'cpu', subtree: 'cpu', type: 'domain threaded' });
    const own = cgroup(path.join(domain, 'c'), { controllers: 'cpu', type: 'threaded' });
    const place = await placeUnified(own, domain, WANTED);
    expect(place).toMatchObject({ writable: false, controllers: [] });
    expect(place.reason).toContain('threaded subtree');
  });

  const user = need('ordinary-user');
  it.skipIf(!user.ok)(user.title('is none when this user may not write it'), async () => {
    const own = cgroup(makeTempDir('cg'), { controllers: 'memory', root: true });
    chmodSync(own, 0o555);
    const place = await placeUnified(own, own, WANTED);
    expect(place.writable).toBe(false);
    expect(place.reason).toBe(`${own} is not writable by this user (EACCES)`);
  });
});
