// What dead sessions left is removed; what is alive, of others, or no record of ours stays.
import { existsSync, mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need, ownCgroups } from '@ctr/internal/testing';
import { tryFlock } from '@ctr/namespaces';
import { beforeEach, describe, expect, it } from 'vitest';
import { collect } from '../src/session/collect.js';

const n = need('linux');
const withCgroups = need('root', 'cgroup:memory');
const BOOT = 'this-boot';
const DEAD = '00000000000000aa';
const ALIVE = '00000000000000bb';
const OWN = '00000000000000cc';

describe.skipIf(!n.ok)(n.title('collect'), () => {
  let run = '';
  let root = '';

  function record(nonce: string, intent: object = {}): string {
    const dir = path.join(run, nonce);
    mkdirSync(dir);
    writeFileSync(path.join(dir, 'lock'), '');
    const uppers = path.join(root, 'containers', nonce);
    mkdirSync(path.join(uppers, 'c1/upper'), { recursive: true });
    writeFileSync(path.join(dir, 'intent.json'), JSON.stringify({ version: 1, nonce, bootId: BOOT, cgroups: [], uppers, ...intent }));
    return dir;
  }

  beforeEach(() => {
    run = makeTempDir('run');
    root = makeTempDir('data');
  });

  it('removes the record and the layers of the dead, and leaves the living alone', async () => {
    record(DEAD);
    const alive = record(ALIVE);
    expect(tryFlock(openSync(path.join(alive, 'lock'), 'r+'))).toBe(true);
    record(OWN);
    expect(await collect(run, BOOT, OWN)).toEqual({ removed: [DEAD], kept: [] });
    expect(
      [DEAD, ALIVE, OWN].map((nonce) => [existsSync(path.join(run, nonce)), existsSync(path.join(root, 'containers', nonce))]),
    ).toEqual([
      [false, false],
      [true, true],
      [true, true],
    ]);
    expect(await collect(run, BOOT, OWN)).toEqual({ removed: [], kept: [] });
  });

  it('removes a record that was never finished', async () => {
    mkdirSync(path.join(run, DEAD));
    expect((await collect(run, BOOT, OWN)).removed).toEqual([DEAD]);
    mkdirSync(path.join(run, DEAD));
    writeFileSync(path.join(run, DEAD, 'lock'), '');
    expect((await collect(run, BOOT, OWN)).removed).toEqual([DEAD]);
    expect(existsSync(path.join(run, DEAD))).toBe(false);
  });

  it('follows no note to anything that is not the session’s', async () => {
    const victim = makeTempDir('victim');
    writeFileSync(path.join(victim, 'file'), '');
    record(DEAD, { uppers: victim });
    expect((await collect(run, BOOT, OWN)).removed).toEqual([DEAD]);
    expect(existsSync(path.join(victim, 'file'))).toBe(true);
  });

  it('follows no link', async () => {
    const victim = makeTempDir('victim');
    writeFileSync(path.join(victim, 'file'), '');
    mkdirSync(path.join(root, 'containers'));
    symlinkSync(victim, path.join(root, 'containers', DEAD));
    const dir = path.join(run, DEAD);
    mkdirSync(dir);
    writeFileSync(path.join(dir, 'lock'), '');
    writeFileSync(
      path.join(dir, 'intent.json'),
      JSON.stringify({ version: 1, nonce: DEAD, bootId: BOOT, cgroups: [], uppers: path.join(root, 'containers', DEAD) }),
    );
    await collect(run, BOOT, OWN);
    expect(existsSync(path.join(victim, 'file'))).toBe(true);
  });

  it('ignores what is no record, and takes no lock behind a link', async () => {
    mkdirSync(path.join(run, 'other'));
    writeFileSync(path.join(run, 'file'), '');
    const dir = path.join(run, DEAD);
    mkdirSync(dir);
    symlinkSync('/etc/passwd', path.join(dir, 'lock'));
    const report = await collect(run, BOOT, OWN);
    expect(report.removed).toEqual([]);
    expect(report.kept).toMatchObject([{ nonce: DEAD, reason: expect.stringContaining('ELOOP') }]);
  });

  describe.skipIf(!withCgroups.ok)(withCgroups.title('cgroups'), () => {
    const own = ownCgroups().find((c) => c.controllers.includes('memory'))?.directory ?? '';

    it('are removed from the inside out, of this boot only', async () => {
      const parent = path.join(own, `ctr.${DEAD}`);
      mkdirSync(path.join(parent, 'container'), { recursive: true });
      record(DEAD, { cgroups: [parent], bootId: 'another boot' });
      await collect(run, BOOT, OWN);
      expect(existsSync(parent)).toBe(true);
      record(DEAD, { cgroups: [parent] });
      expect(await collect(run, BOOT, OWN)).toEqual({ removed: [DEAD], kept: [] });
      expect(existsSync(parent)).toBe(false);
    });
  });
});
