// A Docker daemon of our own, by hand: own data, own socket, no bridge, no iptables; stopped afterwards.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { find } from '../scratch.mjs';

const IMAGE = 'bench:latest';

/** The distribution's client: a newer one lying elsewhere in PATH may refuse an older daemon. */
const client = () => (existsSync('/usr/bin/docker') ? '/usr/bin/docker' : find('docker'));

/** @returns {Promise<{ peers: object[], config?: object, stop(): Promise<void> }>} */
export async function docker({ root }) {
  const skip = (why) => ({ peers: [{ name: 'docker run', skip: why }], stop: async () => {} });
  if (process.getuid() !== 0) return skip('run as root');
  const missing = ['dockerd', 'docker', 'containerd', 'runc'].filter((p) => find(p) === undefined);
  if (missing.length > 0) return skip(`${missing.join(', ')} not installed; on Debian: apt-get install docker.io`);
  // Short: the path of a unix socket holds at most 107 bytes.
  const dir = mkdtempSync('/tmp/ctr-d-');
  const before = new Set(groups());
  const daemon = start(dir);
  const stop = () => end(daemon, dir, before);
  try {
    const socket = `unix://${dir}/s`;
    await up(daemon, dir, socket);
    const tar = path.join(dir, 'root.tar');
    execFileSync('tar', ['--create', '--file', tar, '--directory', root, '.']);
    execFileSync(client(), ['-H', socket, 'import', tar, IMAGE], { stdio: 'pipe' });
    const run = [client(), '-H', socket, 'run', '--rm', '--network', 'none', IMAGE, '/bin/stamp'];
    execFileSync(run[0], run.slice(1), { stdio: 'pipe' });
    return {
      peers: [{ name: 'docker run', key: 'docker', args: run }],
      config: captured(dir, socket),
      client: [client(), '-H', socket],
      stop,
    };
  } catch (error) {
    await stop();
    return skip(
      `does not start here: ${String(error.stderr || error.message)
        .trim()
        .split('\n')
        .at(-1)}`,
    );
  }
}

function start(dir) {
  mkdirSync(path.join(dir, 'x'));
  writeFileSync(path.join(dir, 'daemon.json'), '{}');
  const args = [
    '--config-file',
    path.join(dir, 'daemon.json'),
    '--iptables=false',
    '--bridge=none',
    '--storage-driver=overlay2',
    '-H',
    `unix://${dir}/s`,
  ];
  args.push('--data-root', path.join(dir, 'data'), '--exec-root', path.join(dir, 'x'), '-p', path.join(dir, 'pid'));
  // A mount namespace of its own: what the daemon mounts goes with it.
  const daemon = spawn('unshare', ['--mount', find('dockerd'), ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  daemon.log = '';
  daemon.stderr.on('data', (c) => {
    daemon.log += c;
  });
  return daemon;
}

/** The daemon makes a control group "docker" in each hierarchy and leaves it. */
const groups = () =>
  readdirSync('/sys/fs/cgroup')
    .map((h) => path.join('/sys/fs/cgroup', h, 'docker'))
    .filter((d) => existsSync(d));

async function up(daemon, dir, socket) {
  for (let i = 0; i < 300; i++) {
    if (daemon.exitCode !== null) throw new Error(daemon.log.trim().split('\n').at(-1));
    if (existsSync(path.join(dir, 's'))) {
      try {
        execFileSync(client(), ['-H', socket, 'version'], { stdio: 'pipe' });
        return;
      } catch (error) {
        if (i > 100) throw error;
      }
    }
    await sleep(100);
  }
  throw new Error('dockerd did not come up in 30 s');
}

/** The config.json that Docker gives to runc for such a container. */
function captured(dir, socket) {
  const id = execFileSync(client(), ['-H', socket, 'run', '-d', '--network', 'none', IMAGE, '/bin/sleep', '60'], {
    encoding: 'utf8',
  }).trim();
  try {
    const bundle = path.join(dir, 'x/containerd/daemon/io.containerd.runtime.v2.task/moby', id, 'config.json');
    return existsSync(bundle) ? JSON.parse(readFileSync(bundle, 'utf8')) : undefined;
  } finally {
    execFileSync(client(), ['-H', socket, 'rm', '-f', id], { stdio: 'pipe' });
  }
}

async function end(daemon, dir, before) {
  if (daemon.exitCode === null) {
    const gone = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill('SIGTERM');
    await Promise.race([gone, sleep(20_000)]);
    daemon.kill('SIGKILL');
  }
  for (const group of groups()) if (!before.has(group)) rmdirSync(group);
  // Nothing of the daemon's may be mounted here: else its data is another file system's.
  if (statSync(dir).dev === statSync(path.dirname(dir)).dev) rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
}
