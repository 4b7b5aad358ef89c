// A root directory that holds nothing but busybox, and the steps that make it a mount of its own.
import { chmodSync, copyFileSync, mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { named, type Step } from '@ctr/internal/steps';
import { host, makeTempDir } from '@ctr/internal/testing';
import { AT_FDCWD } from '../src/steps/flags.js';

const APPLETS =
  'sh cat ls echo id stat mount umount touch mkdir rm ln sleep true false hostname test env readlink head tail grep wc kill'.split(' ');

/** Everything in it may be read by any user, as a container in a user namespace may be one. */
export function makeShellRoot(): string {
  const dir = makeTempDir('root');
  chmodSync(dir, 0o755);
  for (const d of ['bin', 'proc', 'sys', 'dev', 'tmp', 'etc', 'mnt', 'data']) mkdirSync(path.join(dir, d));
  copyFileSync(host.program('busybox'), path.join(dir, 'bin/busybox'));
  chmodSync(path.join(dir, 'bin/busybox'), 0o755);
  for (const a of APPLETS) symlinkSync('busybox', path.join(dir, 'bin', a));
  return dir;
}

const OPEN_TREE_CLONE = named(0x80001, 'OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC');

/** `root` of SpawnOptions for a directory. */
export const rootOf = (directory: string): { steps: Step[]; slot: string } => ({
  steps: [{ call: 'open_tree', args: [AT_FDCWD, directory, OPEN_TREE_CLONE], into: 'root', doing: 'clone the root directory' }],
  slot: 'root',
});
