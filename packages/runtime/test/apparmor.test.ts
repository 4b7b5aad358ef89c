// Containers under an AppArmor profile, on a kernel that has it: `pnpm test:vm -- packages/runtime/test/apparmor.test.ts` boots one.
import { readFileSync } from 'node:fs';
import { loadProfiles, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { type OciSpec, type RunOptions, runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

const CONFINED = `ctr-test-container-${process.pid}`;
const PROFILE = `
profile ${CONFINED} flags=(attach_disconnected,mediate_deleted) {
  file, capability, signal, ptrace, mount, umount, pivot_root, network, unix,
  deny /etc/passwd r,
}
`;

const needs = need('linux', 'busybox', 'apparmor');
const CURRENT = ['cat', '/proc/self/attr/apparmor/current'];

const labelled =
  (apparmorProfile: string) =>
  (oci: OciSpec): OciSpec => ({ ...oci, process: { ...oci.process, apparmorProfile } });

describe.skipIf(!needs.ok)(needs.title('a container under an AppArmor profile'), () => {
  let rootfs: string;
  beforeAll(() => {
    rootfs = busyboxRoot();
    return loadProfiles(PROFILE);
  });

  const options = (more: Partial<RunOptions> = {}): RunOptions => ({
    rootfs,
    command: ['sleep', '600'],
    spec: labelled(CONFINED),
    ...more,
  });

  it.each([
    ['users of its own', {}],
    ['the host’s users', { userns: 'host' }],
  ] as const)('confines its program and further ones, with %s', async (_, users) => {
    expect(await runContainer(options({ ...users, command: CURRENT })).text()).toBe(`${CONFINED} (enforce)\n`);
    await using box = await runContainer(options(users));
    for (let i = 0; i < 3; i++) expect(await box.exec(CURRENT).text()).toBe(`${CONFINED} (enforce)\n`);
    expect(await box.exec(CURRENT, { user: '1000' }).text()).toBe(`${CONFINED} (enforce)\n`);
    // The rule, and not only the name: what the profile denies is denied to root inside too.
    const look = async (file: string) => (await box.exec(['cat', file]).result()).exitCode;
    expect([await look('/etc/passwd'), await look('/etc/group')]).toEqual([1, 0]);
    expect(readFileSync(`/proc/${box.pid}/attr/apparmor/current`, 'utf8')).toBe(`${CONFINED} (enforce)\n`);
  });

  it('does not start under one that is not loaded, and says so', async () => {
    await expect(runContainer(options({ spec: labelled('ctr-test-nobody-loaded') }))).rejects.toThrow(
      /set the AppArmor profile ctr-test-nobody-loaded: write: ENOENT/,
    );
  });
});
