// A folder with a static busybox and links to it: the smallest root that programs can run in.
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { host, makeTempDir } from '@ctr/internal/testing';

const APPLETS = [
  'sh',
  'cat',
  'echo',
  'id',
  'ls',
  'sleep',
  'hostname',
  'true',
  'false',
  'mount',
  'touch',
  'head',
  'ps',
  'env',
  'pwd',
  'dd',
  'kill',
  'grep',
  'test',
  'nc',
  'ulimit',
  'seq',
  'rm',
  'mkdir',
  'stat',
  'readlink',
  'yes',
];

/** Entered by every user of a container, so that tests can run as an ordinary one. */
export function busyboxRoot(): string {
  const root = makeTempDir('root');
  chmodSync(root, 0o755);
  for (const dir of ['bin', 'etc', 'tmp']) mkdirSync(path.join(root, dir));
  copyFileSync(host.program('busybox'), path.join(root, 'bin/busybox'));
  chmodSync(path.join(root, 'bin/busybox'), 0o755);
  for (const applet of APPLETS) symlinkSync('busybox', path.join(root, 'bin', applet));
  writeFileSync(path.join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n');
  writeFileSync(path.join(root, 'etc/group'), 'root:x:0:\nnode:x:1000:\naudio:x:29:node\n');
  return root;
}
