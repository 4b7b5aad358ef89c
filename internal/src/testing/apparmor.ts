// AppArmor profiles for tests, on a kernel that has it active.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { host } from './host.js';

const ENABLED = '/sys/module/apparmor/parameters/enabled';
const PROBE = `profile ctr-test-probe-${process.pid} { }\n`;

/** Loads (-r) or removes (-R) profiles, with a securityfs of its own where the machine has mounted none. Says what went wrong, if anything. */
function parse(how: '-r' | '-R', profiles: string): string | undefined {
  const script = `[ -d /sys/kernel/security/apparmor ] || mount -t securityfs none /sys/kernel/security; exec "$0" ${how} --skip-cache`;
  const program = host.program('apparmor_parser');
  const { status, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script, program], { input: profiles, encoding: 'utf8' });
  return status === 0 ? undefined : `apparmor_parser ${how} ended with ${status}: ${stderr}`;
}

host.define('apparmor', {
  test: () =>
    process.getuid?.() === 0 &&
    existsSync(ENABLED) &&
    readFileSync(ENABLED, 'utf8').startsWith('Y') &&
    host.program('apparmor_parser') !== '' &&
    parse('-r', PROBE) === undefined &&
    parse('-R', PROBE) === undefined,
  cure: 'run pnpm test:vm, whose kernel has it active; on Debian: apt-get install apparmor, lsm=…,apparmor on the kernel’s command line; as root',
});

/** For a test that needs 'apparmor'; returns what takes the profiles away again. */
export function loadProfiles(profiles: string): () => void {
  const change = (how: '-r' | '-R'): void => {
    const failure = parse(how, profiles);
    if (failure !== undefined) throw new Error(failure);
  };
  change('-r');
  return () => change('-R');
}
