// Which setting is blamed for refused user namespaces.
import { describe, expect, it } from 'vitest';
import { explainUserNamespaces } from './user-namespaces.js';

const refused = { ok: false, why: 'clone3: EPERM' };
const settings =
  (values: Record<string, string>) =>
  async (file: string): Promise<string> => {
    const value = values[file.slice('/proc/sys/'.length)];
    if (value === undefined) throw new Error('ENOENT');
    return value;
  };

describe('explainUserNamespaces', () => {
  it('has nothing to say when they work', async () => expect(await explainUserNamespaces({ ok: true })).toEqual({ ok: true }));

  it.each([
    ['Ubuntu', { 'kernel/apparmor_restrict_unprivileged_userns': '1\n' }],
    ['old Debian', { 'kernel/unprivileged_userns_clone': '0\n', 'user/max_user_namespaces': '100\n' }],
    ['a hardened host', { 'user/max_user_namespaces': '0\n' }],
    ['inside a container', { 'kernel/apparmor_restrict_unprivileged_userns': '0\n', 'user/max_user_namespaces': '100\n' }],
  ])('%s', async (_, values) => expect(await explainUserNamespaces(refused, settings(values))).toMatchSnapshot());
});
