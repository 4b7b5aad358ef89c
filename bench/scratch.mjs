// What a benchmark run needs on disk: the root with the program that stamps the time, and the launcher; all in one temporary folder.
import { execFileSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const BARE = [
  '-std=gnu17',
  '-Os',
  '-s',
  '-static',
  '-nostdlib',
  '-fno-stack-protector',
  '-Wl,--build-id=none',
  '-Wl,-z,norelro',
  '-Wl,-z,noseparate-code',
];

/** A program in PATH or in the folders of the administrator; undefined when there is none. */
export function find(name) {
  const dirs = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'];
  return dirs
    .map((d) => path.join(d, name))
    .find((f) => {
      try {
        accessSync(f, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

const NOBODY = 65534;

/** An ordinary user with folders of its own below `dir`, which it may read. */
export function ordinaryUser(dir) {
  chmodSync(dir, 0o755);
  const env = { USER: 'nobody', LOGNAME: 'nobody' };
  for (const [name, at] of Object.entries({ HOME: 'home', TMPDIR: 'home/tmp', XDG_RUNTIME_DIR: 'home/run' })) {
    env[name] = path.join(dir, at);
    mkdirSync(env[name], { mode: 0o700 });
    chownSync(env[name], NOBODY, NOBODY);
  }
  return { uid: NOBODY, gid: NOBODY, env };
}

/** @returns {{ dir: string, root: string, stamp: string, launcher: string, remove(): void }} */
export function makeScratch() {
  const dir = mkdtempSync(path.join(tmpdir(), 'ctr-bench-'));
  const remove = () => rmSync(dir, { recursive: true, force: true });
  try {
    return { dir, remove, ...fill(dir) };
  } catch (error) {
    remove();
    throw error;
  }
}

function fill(dir) {
  const root = path.join(dir, 'root');
  for (const d of ['bin', 'dev', 'etc', 'proc', 'sys', 'tmp', 'root']) mkdirSync(path.join(root, d), { recursive: true });
  writeFileSync(path.join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  const busybox = find('busybox');
  if (busybox === undefined) throw new Error('busybox is missing; on Debian: apt-get install busybox-static');
  copyFileSync(busybox, path.join(root, 'bin/busybox'));
  for (const applet of ['sh', 'sleep']) symlinkSync('busybox', path.join(root, 'bin', applet));
  const stamp = path.join(root, 'bin/stamp');
  execFileSync('cc', [...BARE, '-o', stamp, path.join(here, '../e2e/inside/true.c')]);
  const launcher = path.join(dir, 'launch');
  execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', launcher, path.join(here, 'launch.c')]);
  return { root, stamp, launcher };
}
