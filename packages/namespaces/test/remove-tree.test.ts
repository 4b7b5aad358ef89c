// The step remove_tree on what a hostile container may have left.
import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { spawn } from '../src/index.js';
import { ENV, shell } from './run.js';

host.define('python3', { test: () => host.program('python3') !== '', cure: 'install it: it makes trees that no path can name' });
const python = need('python3');
const root = need('root');

/** Removes a tree as the clean-up of a program that does nothing; 'removed', or what went wrong. */
async function remove(dir: string): Promise<string> {
  const p = await spawn({
    args: ['true'],
    env: ENV,
    stdio: ['ignore', 'ignore', 'ignore'],
    cleanup: [{ call: 'remove_tree', args: [dir], doing: 'remove the layer' }],
  });
  return p.cleaned.then(
    () => (existsSync(dir) ? 'still there' : 'removed'),
    (e: Error) => e.message.replaceAll(dir, '<dir>'),
  );
}

/** A directory made by a shell script that runs in it. */
function tree(script: string): string {
  const dir = path.join(makeTempDir('tree'), 'layer');
  mkdirSync(dir);
  execFileSync('/bin/sh', ['-ec', script], { cwd: dir, stdio: ['ignore', 'ignore', 'inherit'] });
  return dir;
}

describe('remove_tree', () => {
  it.each([
    ['nothing', 'true'],
    ['files and folders', 'mkdir -p a/b/c d; touch a/f a/b/f a/b/c/f d/f'],
    ['names that mean something', 'touch -- -rf "a b" "$(printf "new\\nline")" ...; mkdir -p " " .hidden/.hidden'],
    [
      'links, FIFOs and sockets',
      'ln -s /etc/passwd file; ln -s / root; ln -s nowhere dangling; mkdir a; ln -s ../.. a/up; mkfifo fifo; mkdir b; ln -s ../a b/a',
    ],
    ['many files', 'seq 1 6000 | xargs touch; mkdir sub; cd sub; seq 1 6000 | xargs touch'],
    ['many folders that are not empty', 'for i in $(seq 1 400); do mkdir -p w$i/a/b; touch w$i/a/b/c; done'],
    ['folders without permissions', 'mkdir -p a/b/c; touch a/b/c/f a/x; chmod 0 a/b/c a/b a; mkdir -p w/work; chmod 0 w/work'],
    ['folders that may not be changed', 'mkdir -p ro/sub/k; touch ro/f ro/sub/k/j; chmod 555 ro/sub/k ro/sub ro'],
    ['folders that may not be read', 'mkdir -p x/y; touch x/f x/y/g; chmod 300 x x/y; mkdir z; touch z/f; chmod 100 z'],
    [
      'the names that it uses itself',
      'mkdir -p a/b/c/d; for i in 0 1 2 3; do touch .ctr-trash-000000000000000$i; mkdir -p a/.ctr-trash-000000000000000$i/y/z; done; mkdir .ctr-trash-0000000000000004; touch .ctr-trash-0000000000000004/k',
    ],
    ['hard links', 'mkdir a b; touch a/f; for i in $(seq 1 100); do ln a/f b/$i; done'],
    ['long names', `n=$(printf 'x%.0s' $(seq 1 255)); mkdir -p $n/$n/$n; touch $n/$n/$n/$n`],
  ])('removes %s', async (_, script) => {
    expect(await remove(tree(script))).toBe('removed');
  });

  it.skipIf(!python.ok)(python.title('removes a tree that is deeper than any path'), async () => {
    const script = `import os
for i in range(2500):
  os.mkdir('d'); os.chdir('d')
  os.close(os.open('f', os.O_CREAT)); os.mkdir('e')`;
    expect(await remove(tree(`python3 -c "${script}"`))).toBe('removed');
  });

  it('removes one that may not be entered itself', async () => {
    const dir = tree('touch f');
    chmodSync(dir, 0);
    expect(await remove(dir)).toBe('removed');
  });

  it('is content with one that is not there', async () => {
    expect(await remove(path.join(makeTempDir('tree'), 'missing'))).toBe('removed');
  });

  it('follows no link: what they point to stays', async () => {
    const outside = makeTempDir('outside');
    writeFileSync(path.join(outside, 'canary'), 'alive');
    mkdirSync(path.join(outside, 'folder'));
    chmodSync(outside, 0o755);
    const dir = tree('mkdir a');
    symlinkSync(outside, path.join(dir, 'link'));
    symlinkSync(path.join(outside, 'canary'), path.join(dir, 'a', 'file'));
    expect(await remove(dir)).toBe('removed');
    expect(readFileSync(path.join(outside, 'canary'), 'utf8')).toBe('alive');
    expect(readdirSync(outside).sort()).toEqual(['canary', 'folder']);
  });

  it('refuses to begin with a link, and with what is no folder', async () => {
    const dir = makeTempDir('tree');
    mkdirSync(path.join(dir, 'target'));
    writeFileSync(path.join(dir, 'target/canary'), '');
    symlinkSync('target', path.join(dir, 'link'));
    expect(await remove(path.join(dir, 'link'))).toMatchInlineSnapshot(
      `"clean up start true: remove the layer: remove_tree "<dir>": ENOTDIR (not a directory)"`,
    );
    expect(await remove(path.join(dir, 'target/canary'))).toMatchInlineSnapshot(
      `"clean up start true: remove the layer: remove_tree "<dir>": ENOTDIR (not a directory)"`,
    );
    expect(readdirSync(path.join(dir, 'target'))).toEqual(['canary']);
  });

  it('needs no descriptors and no memory for what is open elsewhere', async () => {
    const dir = tree('mkdir -p a/b; touch a/b/f');
    const fds = [openSync(dir, 'r'), openSync(path.join(dir, 'a/b/f'), 'r')];
    expect(await remove(dir)).toBe('removed');
    for (const fd of fds) closeSync(fd);
  });

  it.skipIf(!root.ok)(root.title('removes all that it can, and tells what would not go'), async () => {
    const dir = tree('mkdir -p a/b c; touch a/b/immutable a/b/f c/g');
    execFileSync('chattr', ['+i', path.join(dir, 'a/b/immutable')]);
    try {
      expect(await remove(dir)).toMatchInlineSnapshot(
        `"clean up start true: remove the layer: remove_tree "<dir>": EPERM (operation not permitted)"`,
      );
      expect(execFileSync('find', [dir, '-type', 'f']).toString().trim().split('/').at(-1)).toBe('immutable');
    } finally {
      execFileSync('chattr', ['-R', '-i', dir]);
    }
    expect(await remove(dir)).toBe('removed');
  });

  it.skipIf(!root.ok)(root.title('does not cross into what is mounted in it'), async () => {
    const dir = tree('mkdir -p a/mounted b; touch b/f');
    const mounted = path.join(dir, 'a/mounted');
    execFileSync('mount', ['-t', 'tmpfs', 'ctr-test', mounted]);
    try {
      writeFileSync(path.join(mounted, 'canary'), 'alive');
      expect(await remove(dir)).toMatchInlineSnapshot(
        `"clean up start true: remove the layer: remove_tree "<dir>": EBUSY (device or resource busy)"`,
      );
      const [left] = execFileSync('find', [dir, '-name', 'canary']).toString().trim().split('\n');
      expect(readFileSync(left as string, 'utf8')).toBe('alive');
    } finally {
      for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
        const point = line.split(' ')[4];
        if (point?.startsWith(dir)) execFileSync('umount', [point]);
      }
    }
    expect(await remove(dir)).toBe('removed');
  });

  it('of a large tree holds nobody up', async () => {
    const dir = tree('for d in 1 2 3; do mkdir $d; cd $d; seq 1 10000 | xargs touch; cd ..; done');
    const p = await spawn({
      args: ['true'],
      env: ENV,
      cleanup: [{ call: 'remove_tree', args: [dir] }],
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    await p.exited;
    let removed = false;
    const done = p.cleaned.then(() => {
      removed = true;
    });
    expect(await shell('echo quick')).toBe('quick');
    expect(removed).toBe(false);
    await done;
    expect(existsSync(dir)).toBe(false);
  });
});
