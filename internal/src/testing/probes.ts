// What a test may need of the host, each found out by trying it, with the line that cures its absence.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ownCgroups } from './procfs.js';

export interface Probe {
  /** True when it is there. May throw: that counts as absent. */
  test(): boolean;
  /** How a person gets it. */
  cure: string;
}

const runs = (command: string, args: string[]): boolean =>
  spawnSync(command, args, { stdio: 'ignore', timeout: 20_000, env: { ...process.env, LC_ALL: 'C' } }).status === 0;

const inScratch = (work: (dir: string) => boolean): boolean => {
  const dir = mkdtempSync(path.join(tmpdir(), 'ctr-test-probe-'));
  try {
    return work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};

/** Finds a program in PATH, and in the folders of the system's administrator that ordinary users lack. */
export function findProgram(name: string): string | undefined {
  const dirs = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/local/sbin'];
  return dirs
    .map((d) => path.join(d, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

const overlayScript = (options: string): string =>
  `set -e; mount -t tmpfs none "$0"; cd "$0"; mkdir l u w m; mount -t overlay none -o lowerdir=l,upperdir=u,workdir=w${options} m; echo > m/x; test -e u/x`;

/** Makes a control group below our own and asks for `file`, which only an enabled controller has. */
function hasCgroup1(controller: string): boolean {
  const own = ownCgroups().find((c) => c.version === 1 && c.controllers.includes(controller));
  return own !== undefined && canMakeChild(own.directory, '');
}

function canMakeChild(parent: string, file: string): boolean {
  const dir = path.join(parent, `ctr-probe-${process.pid}`);
  mkdirSync(dir);
  try {
    return existsSync(path.join(dir, file));
  } finally {
    rmdirSync(dir);
  }
}

/** A v2 child gets a controller when some ancestor's parent chain enables it; a cgroup with processes cannot enable it itself. */
function hasCgroup2(controller: string): boolean {
  const own = ownCgroups().find((c) => c.version === 2);
  if (own === undefined) return false;
  const file =
    { memory: 'memory.max', pids: 'pids.max', cpu: 'cpu.max', cpuset: 'cpuset.cpus', io: 'io.max', hugetlb: '' }[controller] ?? '';
  for (let dir = own.directory; dir.startsWith(own.mountPoint); dir = path.dirname(dir)) {
    try {
      if (!readFileSync(path.join(dir, 'cgroup.controllers'), 'utf8').split(/\s/).includes(controller)) continue;
      const control = path.join(dir, 'cgroup.subtree_control');
      const enabled = readFileSync(control, 'utf8').split(/\s/).includes(controller);
      if (!enabled) writeFileSync(control, `+${controller}`);
      const ok = canMakeChild(dir, file);
      if (!enabled) writeFileSync(control, `-${controller}`);
      if (ok) return true;
    } catch {
      // EACCES, EBUSY (it has processes): the next one up
    }
  }
  return false;
}

const program = (name: string, debian = name, args = ['--version']): Probe => ({
  test: () => {
    const file = findProgram(name);
    return file !== undefined && runs(file, args);
  },
  cure: `install it, on Debian: apt-get install ${debian}`,
});

const delegated = 'run as root on a kernel that has it, or let root give this user a control group below the one he is in';

/** All probes by name; `cgroup1:X`, `cgroup2:X` and `cgroup:X` (either) are made on demand for any controller. */
export const PROBES: Record<string, Probe> = {
  linux: { test: () => process.platform === 'linux', cure: 'run on Linux' },
  root: { test: () => process.getuid?.() === 0 && runs('unshare', ['-m', 'true']), cure: 'run as root' },
  'ordinary-user': { test: () => (process.getuid?.() ?? 0) !== 0, cure: 'run as an ordinary user' },
  userns: {
    test: () => runs('unshare', ['-U', '-r', 'true']),
    cure: 'sysctl user.max_user_namespaces and kernel.unprivileged_userns_clone must allow user namespaces',
  },
  uidmap: { test: () => findProgram('newuidmap') !== undefined && findProgram('newgidmap') !== undefined, cure: 'apt-get install uidmap' },
  'subid-files': { test: () => existsSync('/etc/subuid') && existsSync('/etc/subgid'), cure: 'touch /etc/subuid /etc/subgid' },
  overlay: {
    test: () => inScratch((dir) => runs('unshare', ['-m', 'sh', '-c', overlayScript(''), dir])),
    cure: 'run as root on a kernel with overlayfs',
  },
  'overlay-in-userns': {
    test: () => inScratch((dir) => runs('unshare', ['-U', '-r', '-m', 'sh', '-c', overlayScript(',userxattr'), dir])),
    cure: 'needs Linux 5.11 or newer with overlayfs and user namespaces',
  },
  mknod: {
    test: () => inScratch((dir) => runs('mknod', [path.join(dir, 'null'), 'c', '1', '3'])),
    cure: 'run as root outside of a user namespace',
  },
  busybox: {
    test: () =>
      inScratch((dir) => {
        const file = findProgram('busybox');
        // A dynamic busybox cannot start in a root that holds nothing else.
        return file !== undefined && !readFileSync(file).includes('/lib64/ld-linux') && runs(file, ['test', '-d', dir]);
      }),
    cure: 'install a static one, on Debian: apt-get install busybox-static',
  },
  'static-cc': {
    test: () =>
      inScratch((dir) => {
        writeFileSync(path.join(dir, 'a.c'), 'int main(void) { return 0; }\n');
        return runs('cc', ['-static', '-o', path.join(dir, 'a'), path.join(dir, 'a.c')]) && runs(path.join(dir, 'a'), []);
      }),
    cure: 'a C compiler with a static C library, on Debian: apt-get install gcc libc6-dev',
  },
  registry: program('docker-registry'),
  skopeo: program('skopeo'),
  umoci: program('umoci'),
  // Perl takes 0.3 s to say its version: being there is enough.
  mmdebstrap: { test: () => findProgram('mmdebstrap') !== undefined, cure: 'install it, on Debian: apt-get install mmdebstrap' },
  runc: program('runc'),
  crun: program('crun'),
  bwrap: program('bwrap', 'bubblewrap'),
  strace: program('strace', 'strace', ['-V']),
  docker: {
    test: () => process.getuid?.() === 0 && ['dockerd', 'docker', 'containerd'].every((p) => findProgram(p) !== undefined),
    cure: 'run as root with Docker installed, on Debian: apt-get install docker.io',
  },
  newuidmap: { test: () => findProgram('newuidmap') !== undefined, cure: 'on Debian: apt-get install uidmap' },
};

/** The probe of a feature by name, or undefined when there is none. */
export function probeOf(feature: string): Probe | undefined {
  const [kind, controller] = feature.split(':');
  if (controller === undefined) return PROBES[feature];
  const v1 = (): boolean => hasCgroup1(controller);
  const v2 = (): boolean => hasCgroup2(controller);
  const either = (): boolean => [v1, v2].some((t) => attempt(t));
  const tests: Record<string, () => boolean> = { cgroup1: v1, cgroup2: v2, cgroup: either };
  const test = tests[kind ?? ''];
  const version = kind === 'cgroup' ? '' : ` (v${kind?.at(-1)})`;
  return test && { test, cure: `${delegated}${version}` };
}

/** Runs a probe: one that throws says no. */
export function attempt(test: () => boolean): boolean {
  try {
    return test();
  } catch {
    return false;
  }
}
