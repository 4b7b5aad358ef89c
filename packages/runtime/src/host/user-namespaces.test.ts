// Which setting, or what around this process, is blamed for refused user namespaces.
import { describe, expect, it } from 'vitest';
import { explainUserNamespaces } from './user-namespaces.js';

const refused = { ok: false, why: 'clone3: EPERM' };
/** A process in a host without any obstacle, but for these. */
const host =
  (values: Record<string, string>) =>
  async (path: string): Promise<string> => {
    const all: Record<string, string> = {
      '/proc/self/uid_map': '         0          0 4294967295\n',
      '/proc/self/status': 'Uid:\t1000\t1000\t1000\t1000\nNoNewPrivs:\t0\nSeccomp:\t0\n',
      '/proc/self/root': '/',
      '/proc/self/mountinfo': '22 1 8:1 / / rw - ext4 /dev/sda1 rw\n',
      '/proc/sys/user/max_user_namespaces': '100\n',
      ...values,
    };
    const value = all[path];
    if (value === undefined) throw new Error('ENOENT');
    return value;
  };
const explained = async (values: Record<string, string>, tried = refused) => {
  const { why, cure } = await explainUserNamespaces(tried, host(values));
  // Where this Node is does not matter.
  return [why, cure?.replaceAll(process.execPath, '/usr/bin/node')];
};

describe('explainUserNamespaces', () => {
  it('has nothing to say when they work', async () => expect(await explainUserNamespaces({ ok: true })).toEqual({ ok: true }));

  it.each([
    ['Ubuntu', { '/proc/sys/kernel/apparmor_restrict_unprivileged_userns': '1\n' }],
    [
      'Ubuntu, with a profile that does not allow it',
      {
        '/proc/sys/kernel/apparmor_restrict_unprivileged_userns': '1\n',
        '/proc/self/attr/apparmor/current': 'unprivileged_userns (enforce)\n',
      },
    ],
    ['Ubuntu where it was switched off, and nothing else is wrong', { '/proc/sys/kernel/apparmor_restrict_unprivileged_userns': '0\n' }],
    ['old Debian', { '/proc/sys/kernel/unprivileged_userns_clone': '0\n' }],
    ['a hardened host', { '/proc/sys/user/max_user_namespaces': '0\n' }],
    ['a chroot', { '/proc/self/mountinfo': '22 1 8:1 / /srv/root rw - ext4 /dev/sda1 rw\n' }],
    ['a user that the container around it does not map', { '/proc/self/uid_map': '0 100000 1000\n' }],
    ['a container with a seccomp filter', { '/proc/self/status': 'Uid:\t0\t0\t0\t0\nNoNewPrivs:\t0\nSeccomp:\t2\n' }],
  ])('%s', async (_, values) => expect(await explained(values as Record<string, string>)).toMatchSnapshot());

  it.each(['clone3: ENOSPC', 'clone3: EUSERS'])('%s', async (why) => expect(await explained({}, { ok: false, why })).toMatchSnapshot());
});
