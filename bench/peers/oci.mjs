// runc and crun on the same root, with the config.json that Docker itself gave to runc, or without Docker one like it (but no seccomp).
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { find } from '../scratch.mjs';

const CAPS = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
].map((c) => `CAP_${c}`);

const mount = (destination, type, ...options) => ({ destination, type, source: type, options });

function likeDocker() {
  return {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 0, gid: 0 },
      env: ['PATH=/bin'],
      noNewPrivileges: true,
      capabilities: { bounding: CAPS, effective: CAPS, permitted: CAPS },
      rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 1024 }],
    },
    hostname: 'bench',
    mounts: [
      mount('/proc', 'proc', 'nosuid', 'noexec', 'nodev'),
      mount('/dev', 'tmpfs', 'nosuid', 'strictatime', 'mode=755', 'size=65536k'),
      mount('/dev/pts', 'devpts', 'nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'),
      mount('/sys', 'sysfs', 'nosuid', 'noexec', 'nodev', 'ro'),
      mount('/sys/fs/cgroup', 'cgroup', 'ro', 'nosuid', 'noexec', 'nodev'),
      mount('/dev/mqueue', 'mqueue', 'nosuid', 'noexec', 'nodev'),
      mount('/dev/shm', 'tmpfs', 'nosuid', 'noexec', 'nodev', 'mode=1777', 'size=67108864'),
    ],
    linux: {
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type })),
      resources: {
        devices: [
          { allow: false, access: 'rwm' },
          { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' },
        ],
        pids: { limit: 1024 },
      },
      maskedPaths: ['/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/timer_list', '/proc/scsi', '/sys/firmware'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}

/** Makes it a start of the stamp on our root: no terminal, no hooks, none of Docker's own files. */
function adapt(config, root) {
  // Without a path of its own the control group lies below ours and is called by the id.
  const linux = { ...config.linux, cgroupsPath: undefined };
  return {
    ...config,
    hooks: undefined,
    root: { path: root, readonly: false },
    process: { ...config.process, terminal: false, cwd: '/', args: ['/bin/stamp'], apparmorProfile: undefined },
    mounts: config.mounts.filter((m) => !m.destination.startsWith('/etc/') && m.type !== 'bind'),
    linux,
  };
}

/** `dockerConfig` is what Docker wrote, or undefined. */
export async function oci({ root, dir }, dockerConfig) {
  if (process.getuid() !== 0) return { peers: [{ name: 'runc run', skip: 'run as root' }], stop: () => {} };
  const bundle = path.join(dir, 'bundle');
  mkdirSync(bundle);
  writeFileSync(path.join(bundle, 'config.json'), JSON.stringify(adapt(dockerConfig ?? likeDocker(), root)));
  const note = dockerConfig ? "Docker's own config.json" : 'a config.json like Docker’s, without seccomp';
  const held = [];
  const peers = [];
  for (const key of ['runc', 'crun']) peers.push(await peer(key, dir, bundle, note, held));
  const stop = () => {
    for (const holder of held) holder.kill('SIGKILL');
  };
  return { peers, stop };
}

async function peer(key, dir, bundle, note, held) {
  const name = `${key} run`;
  const program = find(key);
  if (program === undefined) return { name, skip: `not installed; on Debian: apt-get install ${key}` };
  const args = [program, '--root', path.join(dir, `${key}-state`), 'run', '--bundle', bundle, 'bench'];
  const problem = attempt(args);
  if (problem === undefined) return { name, key, args, note };
  if (!/hybrid/.test(problem)) return { name, skip: `does not work here: ${problem}` };
  const holder = await withoutUnified();
  held.push(holder);
  const inside = attempt(['nsenter', `--mount=/proc/${holder.pid}/ns/mnt`, ...args]);
  if (inside !== undefined) return { name, skip: `does not work here: ${inside}` };
  return {
    name,
    key,
    args,
    mountNamespace: `/proc/${holder.pid}/ns/mnt`,
    note: `${note}; in a mount namespace without the unified hierarchy, since it refuses hybrid control groups`,
  };
}

/** A process in a mount namespace that shows only the v1 control groups. */
async function withoutUnified() {
  const script = 'umount /sys/fs/cgroup/unified && echo ready && exec sleep 1000000';
  const child = spawn('unshare', ['--mount', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout.once('data', resolve).once('end', resolve));
  return child;
}

/** Runs it once; what it complained of, or undefined. */
function attempt(args) {
  try {
    execFileSync(args[0], args.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    return undefined;
  } catch (error) {
    return String(error.stderr || error.message)
      .trim()
      .split('\n')[0];
  }
}
