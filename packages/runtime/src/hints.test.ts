// Each row of the table, by the step that it speaks of.

import { SyscallError } from '@ctr/internal/errors';
import type { FailureFacts, Plan } from '@ctr/namespaces';
import { describe, expect, it } from 'vitest';
import { HINTS, hintSource, withStoreHint } from './hints.js';

const plan: Plan = {
  doing: 'start container "web"',
  cloneFlags: [],
  fds: {},
  stages: { prepare: [], beside: [], enter: [], setup: [], kill: [], collect: [], cleanup: [] },
};

const hint = (
  syscall: string,
  code: string,
  more: Partial<FailureFacts> & { doing?: string } = {},
  rootless = false,
): string | undefined => {
  const { doing, ...facts } = more;
  const step = doing === undefined ? undefined : { call: syscall, args: [], doing };
  return hintSource({ root: 'debian:12', rootless })({
    stage: 'setup',
    stepIndex: 0,
    syscall,
    code,
    path: undefined,
    plan,
    step,
    ...facts,
  });
};

describe('hints', () => {
  it.each([
    ['execve', 'EACCES', { path: '/bin/tool' }, false],
    ['execve', 'ENOEXEC', { path: '/bin/tool' }, false],
    ['execve', 'E2BIG', {}, false],
    ['execve', 'ENOMEM', {}, false],
    ['clone3', 'EPERM', { stage: 'clone' as const }, true],
    ['clone3', 'ENOSPC', { stage: 'clone' as const }, true],
    ['mount_setattr', 'EPERM', {}, true],
    ['clone3', 'EAGAIN', {}, false],
    ['write', 'EPERM', { stage: 'maps' as const }, true],
    ['fsopen', 'ENODEV', { doing: 'mount overlay' }, false],
    ['fsopen', 'EPERM', { doing: 'mount overlay' }, true],
    ['fsconfig', 'EINVAL', { doing: 'mount overlay' }, true],
    ['fsconfig', 'EINVAL', { doing: 'mount overlay' }, false],
    ['fsconfig', 'ELOOP', { doing: 'mount overlay' }, false],
    ['fsconfig', 'ENOENT', { doing: 'mount overlay' }, false],
    ['fsconfig', 'EPERM', { doing: 'mount proc on /proc' }, true],
    ['fsmount', 'EPERM', { doing: 'mount sysfs on /sys' }, true],
    ['open_tree', 'ENOENT', { path: '/data' }, false],
    ['open_tree', 'EACCES', { path: '/data' }, true],
    ['move_mount', 'ENOTDIR', { path: '/etc/hosts' }, false],
    ['mkdirat', 'ENOSPC', { doing: 'make the cgroup "x"' }, false],
    ['mkdirat', 'EROFS', {}, false],
    ['mkdirat', 'ENOSPC', {}, false],
    ['mkdirat', 'EDQUOT', {}, false],
    ['setresuid', 'EINVAL', {}, true],
    ['setresgid', 'EINVAL', {}, true],
    ['fchdir', 'EACCES', { path: '/root' }, false],
  ])('%s %s %o', (syscall, code, facts, rootless) => expect(hint(syscall, code, facts, rootless)).toMatchSnapshot());

  it('are each reached by a test above', () => expect(HINTS).toHaveLength(27));

  it('are added to errors of the image store that have none', () => {
    const full = new SyscallError({ errno: 28, syscall: 'write', doing: 'pull debian:12' });
    expect((withStoreHint(full) as SyscallError).hint).toMatch(/disk of the image store is full/);
    const known = new SyscallError({ errno: 28, syscall: 'write' }, { hint: 'known' });
    expect((withStoreHint(known) as SyscallError).hint).toBe('known');
    expect(withStoreHint('no error')).toBe('no error');
  });

  it('leave the rest to @ctr/namespaces', () => {
    expect(hint('setns', 'ESRCH')).toBe('the process has ended');
    expect(hint('getpid', 'EIO')).toBeUndefined();
  });
});
