// Containers under an AppArmor profile, on a kernel that has it: `pnpm test:vm -- packages/runtime/test/apparmor.test.ts` boots one.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { host, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OciSpec, type RunOptions, runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

const CONFINED = `ctr-test-container-${process.pid}`;
const PROFILE = `
profile ${CONFINED} flags=(attach_disconnected,mediate_deleted) {
  file, capability, signal, ptrace, mount, umount, pivot_root, network, unix,
  deny /etc/passwd r,
}
`;

const read = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '');

/** Loads (-r) or removes (-R) the profile, with a securityfs of its own where the machine has mounted none. */
function parser(how: '-r' | '-R') {
  const script = `[ -d /sys/kernel/security/apparmor ] || mount -t securityfs none /sys/kernel/security; exec "$0" ${how} --skip-cache`;
  return spawnSync('unshare', ['--mount', 'sh', '-c', script, host.program('apparmor_parser')], { input: PROFILE, encoding: 'utf8' });
}

host.define('apparmor', {
  test: () =>
    process.getuid?.() === 0 &&
    read('/sys/module/apparmor/parameters/enabled').startsWith('Y') &&
    host.program('apparmor_parser') !== '' &&
    parser('-r').status === 0,
  cure: 'run pnpm test:vm, whose kernel has it active; on Debian: apt-get install apparmor, lsm=…,apparmor on the kernel’s command line; as root',
});

const needs = need('linux', 'busybox', 'apparmor');
const CURRENT = ['cat', '/proc/self/attr/apparmor/current'];

const labelled =
  (apparmorProfile: string) =>
  (oci: OciSpec): OciSpec => ({ ...oci, process: { ...oci.process, apparmorProfile } });

describe.skipIf(!needs.ok)(needs.title('a container under an AppArmor profile'), () => {
  let rootfs: string;
  beforeAll(() => {
    rootfs = busyboxRoot();
  });
  afterAll(() => {
    if (needs.ok) expect(parser('-R')).toMatchObject({ status: 0 });
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
    expect(read(`/proc/${box.pid}/attr/apparmor/current`)).toBe(`${CONFINED} (enforce)\n`);
  });

  it('does not start under one that is not loaded, and says so', async () => {
    await expect(runContainer(options({ spec: labelled('ctr-test-nobody-loaded') }))).rejects.toThrow(
      /set the AppArmor profile ctr-test-nobody-loaded: write: ENOENT/,
    );
  });
});
