// The checks of one mount: which options its type has, and what they may be.
import { Fd } from '@ctr/internal/fd';
import { absolute, boolean, checkKeys, fail, integer, list, object, text } from './check-values.js';
import { PROPAGATIONS, readMountWords } from './mount-words.js';
import type { BindMount, Device, Mount, TmpfsMount } from './options.js';

/** What each type has beside a target and flags. */
const MOUNT_KEYS: Readonly<Record<string, readonly string[]>> = {
  bind: ['source', 'recursive', 'propagation', 'idMap'],
  tmpfs: ['size', 'mode', 'copyUp'],
  filesystem: ['fileSystem', 'source'],
  remount: [],
  proc: [],
  sysfs: [],
  devpts: [],
  mqueue: [],
  dev: [],
  cgroup: [],
};
const MOUNT_FLAGS = ['readOnly', 'nosuid', 'nodev', 'noexec', 'noatime'] as const;

/** @throws InvalidArgumentError */
export function checkMount(m: Mount, i: number): void {
  const path = `mounts[${i}]`;
  object(m, path);
  if (!Object.hasOwn(MOUNT_KEYS, m.type)) fail(`${path}.type`, `one of ${Object.keys(MOUNT_KEYS).join(', ')}`, m.type);
  checkKeys(m, ['type', 'target', 'options', ...MOUNT_FLAGS, ...(MOUNT_KEYS[m.type] ?? [])], path);
  absolute(m.target, `${path}.target`);
  if (m.target.split('/').includes('..')) fail(`${path}.target`, 'a path without ".."', m.target);
  for (const key of MOUNT_FLAGS) if (m[key] !== undefined) boolean(m[key], `${path}.${key}`);
  if (m.options !== undefined) checkWords(m, path);
  if (m.type === 'bind') checkBind(m, path);
  if (m.type === 'tmpfs') checkTmpfs(m, path);
  if (m.type === 'filesystem') {
    text(m.fileSystem, `${path}.fileSystem`, 64);
    if (m.source !== undefined) text(m.source, `${path}.source`, 4096);
  }
}

/** Words that say nothing to a type of mount are refused, since leaving one out could mean less safety. */
function checkWords(m: Mount, path: string): void {
  list(m.options, `${path}.options`).forEach((w, i) => {
    text(w, `${path}.options[${i}]`, 4095);
  });
  const words = readMountWords(m.options);
  const data = Object.keys(words.data)[0];
  if (m.type === 'bind' && data !== undefined)
    fail(`${path}.options`, 'words for a mount: a bind has no file system of its own to take others', data);
  if (m.type !== 'bind' && words.bind) fail(`${path}.options`, "left out, or type 'bind'", 'bind');
  if (words.idmap && (m.type !== 'bind' || m.idMap === undefined))
    fail(`${path}.idMap`, "an Fd of a user namespace, with 'idmap'", undefined);
  if (words.tmpcopyup && m.type !== 'tmpfs') fail(`${path}.options`, "left out, or type 'tmpfs'", 'tmpcopyup');
}

function checkBind(m: BindMount, path: string): void {
  if (!Fd.is(m.source)) absolute(m.source, `${path}.source`);
  if (m.recursive !== undefined) boolean(m.recursive, `${path}.recursive`);
  if (m.idMap !== undefined && (!Fd.is(m.idMap) || m.idMap.closed)) fail(`${path}.idMap`, 'an open Fd of a user namespace', m.idMap);
  if (m.propagation !== undefined && !PROPAGATIONS.includes(m.propagation))
    fail(`${path}.propagation`, `one of ${PROPAGATIONS.join(', ')}`, m.propagation);
}

function checkTmpfs(m: TmpfsMount, path: string): void {
  if (m.size !== undefined) integer(m.size, `${path}.size`, 1, Number.MAX_SAFE_INTEGER);
  if (m.mode !== undefined) integer(m.mode, `${path}.mode`, 0, 0o7777);
  if (m.copyUp !== undefined) boolean(m.copyUp, `${path}.copyUp`);
}

const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xfffff;
const MAX_ID = 0xfffffffe;

/** @throws InvalidArgumentError */
export function checkDevice(d: Device, i: number): void {
  const path = `devices[${i}]`;
  object(d, path);
  checkKeys(d, ['path', 'type', 'major', 'minor', 'fileMode', 'uid', 'gid', 'source'], path);
  absolute(d.path, `${path}.path`);
  if (d.path.split('/').includes('..') || d.path.endsWith('/')) fail(`${path}.path`, 'a path without ".." and "/" at the end', d.path);
  if (d.source !== undefined) absolute(d.source, `${path}.source`);
  if (!['c', 'u', 'b', 'p'].includes(d.type)) fail(`${path}.type`, "'c', 'u', 'b' or 'p'", d.type);
  if (d.type !== 'p' || d.major !== undefined) integer(d.major, `${path}.major`, 0, MAX_MAJOR);
  if (d.type !== 'p' || d.minor !== undefined) integer(d.minor, `${path}.minor`, 0, MAX_MINOR);
  if (d.fileMode !== undefined) integer(d.fileMode, `${path}.fileMode`, 0, 0o7777);
  for (const key of ['uid', 'gid'] as const) if (d[key] !== undefined) integer(d[key], `${path}.${key}`, 0, MAX_ID);
}
