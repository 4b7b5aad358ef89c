// Where a store is, and what is refused as one.
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { defaultRoot, openLayout } from './layout.js';
import { ownerToken } from './owner.js';
import { sweepLeftovers } from './temp.js';

describe('defaultRoot', () => {
  it.each([
    [{ CTR_ROOT: '/x' }, 0, '/x'],
    [{ CTR_ROOT: '' }, 0, '/var/lib/ctr'],
    [{ XDG_DATA_HOME: '/d' }, 0, '/var/lib/ctr'],
    [{ XDG_DATA_HOME: '/d' }, 1000, '/d/ctr'],
  ])('for %j and uid %d is %s', (env, uid, root) => {
    expect(defaultRoot(env, uid)).toBe(root);
  });

  it.each([{}, { XDG_DATA_HOME: 'relative' }])('lies in the home directory for an ordinary user with %j', (env) => {
    expect(defaultRoot(env, 1000)).toMatch(/\/\.local\/share\/ctr$/);
  });
});

describe('openLayout', () => {
  it('makes everything 0700, whatever the umask, and tightens a directory that is open', async () => {
    const root = path.join(makeTempDir('layout'), 'deep/store');
    const before = process.umask(0);
    try {
      const layout = await openLayout(root);
      for (const directory of [
        root,
        layout.blobs,
        layout.layers,
        layout.temp,
        layout.leases,
        layout.locks,
        path.join(layout.layers, 'sha256'),
      ])
        expect([directory, statSync(directory).mode & 0o777]).toEqual([directory, 0o700]);
    } finally {
      process.umask(before);
    }
    expect(readFileSync(path.join(root, 'oci-layout'), 'utf8')).toBe('{"imageLayoutVersion":"1.0.0"}');
  });

  it('refuses a directory that holds other things', async () => {
    const root = makeTempDir('layout');
    writeFileSync(path.join(root, 'thesis.tex'), '');
    await expect(openLayout(root)).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT', path: 'root' });
    expect(statSync(path.join(root, 'thesis.tex')).size).toBe(0);
  });

  it('refuses a layout of another version', async () => {
    const root = makeTempDir('layout');
    writeFileSync(path.join(root, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}');
    await expect(openLayout(root)).rejects.toMatchObject({ code: 'CTR_IMAGE_INVALID' });
  });

  it('says what it could not do, and how to cure it', async () => {
    writeFileSync(path.join(makeTempDir('layout'), 'x'), '');
    await expect(openLayout('/proc/nothing/here')).rejects.toMatchObject({ code: 'ENOENT', syscall: 'mkdir' });
  });
});

it('clears away what the dead left, and nothing of the living', async () => {
  const layout = await openLayout(path.join(makeTempDir('layout'), 'store'));
  const dead = ownerToken().replace(/-\d+$/, '-1');
  mkdirSync(path.join(layout.temp, `${dead}.aa.layer/fs/sub`), { recursive: true });
  mkdirSync(path.join(layout.temp, `${dead}.ab.layer/fs/sub`), { recursive: true });
  chmodSync(path.join(layout.temp, `${dead}.ab.layer/fs`), 0o500);
  writeFileSync(path.join(layout.temp, `${dead}.bb.blob`), 'x');
  writeFileSync(path.join(layout.leases, `${dead}.cc.json`), '{}');
  writeFileSync(layout.tempName('blob'), 'x');
  expect(await sweepLeftovers(layout)).toBe(4);
  expect(await sweepLeftovers(layout)).toBe(0);
});
