// The private folder for records: made with mode 0700, refused when somebody else could write to it.
import { chmod, mkdir, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { openRunRoot } from './run-root.js';

const uid = process.geteuid?.() ?? 0;

describe('openRunRoot', () => {
  it('makes a folder that only this user can enter', async () => {
    const run = path.join(await makeTempDir(), 'a', 'run');
    expect(await openRunRoot(uid, { CTR_RUN: run })).toBe(run);
    expect((await stat(run)).mode & 0o7777).toBe(0o700);
    expect(await openRunRoot(uid, { CTR_RUN: run })).toBe(run);
  });

  it('refuses a folder that others can enter, and a link', async () => {
    const dir = await makeTempDir();
    const open = path.join(dir, 'open');
    await mkdir(open);
    await chmod(open, 0o755);
    await expect(openRunRoot(uid, { CTR_RUN: open })).rejects.toThrow(/a directory of user \d+ with mode 0700, found owner \d+, mode 0755/);
    await symlink(open, path.join(dir, 'link'));
    await expect(openRunRoot(uid, { CTR_RUN: path.join(dir, 'link') })).rejects.toThrow('found something else');
  });

  it('says what to do when none can be made', async () =>
    await expect(openRunRoot(uid, { CTR_RUN: '/proc/ctr' })).rejects.toThrow(/make the folder for running containers: mkdir.*\n.*CTR_RUN/));
});
