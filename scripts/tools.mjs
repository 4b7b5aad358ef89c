// The programs that building and testing need, where to get them, and installing them on Debian when we are root.
import { accessSync, constants, existsSync } from 'node:fs';
import path from 'node:path';
import { StepFailed, say, step } from './progress.mjs';

/** Program (or file) -> Debian package. */
const TOOLCHAIN = { 'g++': 'g++', make: 'make', python3: 'python3' };
/** What makes the build better; it does without. */
const BETTER = { '/usr/include/isa-l.h': 'libisal-dev' };
const TESTS = {
  'busybox-static': 'busybox-static',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  ip: 'iproute2',
  skopeo: 'skopeo',
  umoci: 'umoci',
  'docker-registry': 'docker-registry',
  newuidmap: 'uidmap',
  runc: 'runc',
  crun: 'crun',
  bwrap: 'bubblewrap',
  strace: 'strace',
  openssl: 'openssl',
  zstd: 'zstd',
  mmdebstrap: 'mmdebstrap',
  '/usr/include/seccomp.h': 'libseccomp-dev',
};
/** For the machine of `pnpm test:vm`; scripts/vm/requirements.mjs says what lacks when one is missing. */
export const MACHINE = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'busybox-static': 'busybox-static',
  depmod: 'kmod',
  mke2fs: 'e2fsprogs',
  setpriv: 'util-linux',
};
/** For the same machine with systemd as its process 1. It is not installed for that: on a host it would be more than a test tool. */
export const SYSTEMD = { '/lib/systemd/systemd': 'systemd', '/lib/systemd/system/dbus.service': 'dbus', busctl: 'systemd' };
const WANTED = { start: BETTER, test: { ...BETTER, ...TESTS, ...MACHINE }, vm: { ...BETTER, ...TESTS, ...MACHINE } };
/** Same package, other systems: only what building needs. */
const OTHER = {
  dnf: 'dnf install -y gcc-c++ make python3',
  apk: 'apk add g++ make python3',
  pacman: 'pacman -S --needed gcc make python',
  zypper: 'zypper install -y gcc-c++ make python3',
};

export function find(program) {
  if (program.startsWith('/')) return existsSync(program) ? program : undefined;
  const dirs = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/local/sbin'];
  // The package busybox-static brings a program called busybox, as the dynamic one does.
  const name = program === 'busybox-static' ? 'busybox' : program;
  return dirs
    .map((d) => path.join(d, name))
    .find((f) => {
      try {
        accessSync(f, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

export const missing = (table) => Object.keys(table).filter((p) => find(p) === undefined);
export const packagesOf = (table, programs) => [...new Set(programs.map((p) => table[p]))];
const isRoot = () => process.getuid?.() === 0;

export function installLine(packages) {
  const sudo = isRoot() ? '' : 'sudo ';
  if (find('apt-get')) return `${sudo}apt-get install -y ${packages.join(' ')}`;
  const other = Object.keys(OTHER).find((m) => find(m));
  return other ? `${sudo}${OTHER[other]}` : `install: ${packages.join(', ')}`;
}

async function install(packages) {
  const env = { DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_SUSPEND: '1' };
  const apt = ['-o', 'Dpkg::Use-Pty=0', '-o', 'Acquire::Retries=3'];
  const hadRegistry = find('docker-registry') !== undefined;
  await step('read the package lists', 'apt-get', [...apt, '-qq', 'update'], { env }).catch((e) =>
    say(`  ${e.message.split('\n')[0]}; going on with the lists that are there`),
  );
  await step(
    `install Debian packages: ${packages.join(' ')}`,
    'apt-get',
    [...apt, 'install', '-y', '--no-install-recommends', ...packages],
    { env },
  );
  // The tests want the program; Debian also starts it as a service.
  if (!hadRegistry && packages.includes('docker-registry') && existsSync('/run/systemd/system'))
    await step('stop the registry service that came with it', 'systemctl', ['disable', '--now', 'docker-registry']).catch((e) =>
      say(`  ${e.message.split('\n')[0]}`),
    );
}

/** A missing build tool is an error that names the line which installs it; a missing test tool only makes tests skip. */
export async function ensureTools(purpose) {
  const wanted = { ...TOOLCHAIN, ...WANTED[purpose] };
  const lacking = missing(wanted);
  if (lacking.length === 0) return;
  if (isRoot() && find('apt-get')) await install(packagesOf(wanted, lacking)).catch((e) => say(`  ${e.message}`));
  const still = missing(TOOLCHAIN);
  if (still.length > 0) throw new StepFailed(`missing: ${still.join(', ')}\n  ${installLine(packagesOf(TOOLCHAIN, still))}`);
  const slower = missing(BETTER);
  if (slower.length > 0) say(`  layers will inflate by zlib; about twice as fast: ${installLine(packagesOf(BETTER, slower))}`);
  const skip = missing({ ...wanted, ...BETTER }).filter((program) => !(program in BETTER));
  if (skip.length > 0) say(`  tests that need ${skip.join(', ')} will be skipped; to run them: ${installLine(packagesOf(wanted, skip))}`);
}
