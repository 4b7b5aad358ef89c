// The checks of one mount: which options its type has, and what they may be.
import { Fd } from '@ctr/internal/fd';
import { absolute, boolean, checkKeys, fail, integer, object } from './check-values.js';
import type { BindMount, Mount, TmpfsMount } from './options.js';

/** What each type has beside a target and flags. */
const MOUNT_KEYS: Readonly<Record<string, readonly string[]>> = {
  bind: ['source', 'recursive', 'propagation', 'idMap'],
  tmpfs: ['size', 'mode'],
  proc: [],
  sysfs: [],
  devpts: [],
  mqueue: [],
  dev: [],
  cgroup: [],
};
const MOUNT_FLAGS = ['readOnly', 'nosuid', 'nodev', 'noexec', 'noatime'] as const;
const PROPAGATIONS = ['private', 'slave', 'shared'];

/** @throws InvalidArgumentError */
export function checkMount(m: Mount, i: number): void {
  const path = `mounts[${i}]`;
  object(m, path);
  if (!Object.hasOwn(MOUNT_KEYS, m.type)) fail(`${path}.type`, `one of ${Object.keys(MOUNT_KEYS).join(', ')}`, m.type);
  checkKeys(m, ['type', 'target', ...MOUNT_FLAGS, ...(MOUNT_KEYS[m.type] ?? [])], path);
  absolute(m.target, `${path}.target`);
  if (m.target.split('/').includes('..')) fail(`${path}.target`, 'a path without ".."', m.target);
  for (const key of MOUNT_FLAGS) if (m[key] !== undefined) boolean(m[key], `${path}.${key}`);
  if (m.type === 'bind') checkBind(m, path);
  if (m.type === 'tmpfs') checkTmpfs(m, path);
}

function checkBind(m: BindMount, path: string): void {
  if (!Fd.is(m.source)) absolute(m.source, `${path}.source`);
  if (m.recursive !== undefined) boolean(m.recursive, `${path}.recursive`);
  if (m.idMap !== undefined && !Fd.is(m.idMap)) fail(`${path}.idMap`, 'an Fd of a user namespace', m.idMap);
  if (m.propagation !== undefined && !PROPAGATIONS.includes(m.propagation))
    fail(`${path}.propagation`, `one of ${PROPAGATIONS.join(', ')}`, m.propagation);
}

function checkTmpfs(m: TmpfsMount, path: string): void {
  if (m.size !== undefined) integer(m.size, `${path}.size`, 1, Number.MAX_SAFE_INTEGER);
  if (m.mode !== undefined) integer(m.mode, `${path}.mode`, 0, 0o7777);
}
