// The others: each is given a folder on a fresh file system, starts its daemon there, if it has one, and then pulls once.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { find } from '../scratch.mjs';

/** User and system seconds of a process, its children and theirs, those that ended included. */
export function cpuOf(pid) {
  const stats = new Map();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const fields = readFileSync(`/proc/${entry}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ');
      stats.set(Number(entry), { parent: Number(fields[1]), ticks: fields.slice(11, 15).reduce((sum, t) => sum + Number(t), 0) });
    } catch {
      // it ended meanwhile
    }
  }
  let ticks = 0;
  for (const [id, { ticks: own }] of stats) {
    for (let at = id; at > 1; at = stats.get(at)?.parent ?? 0)
      if (at === pid) {
        ticks += own;
        break;
      }
  }
  return ticks / 100;
}

const peakOf = (pid) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

async function waitFor(what, ready) {
  for (let i = 0; i < 300; i++) {
    if (await ready()) return;
    await sleep(50);
  }
  throw new Error(`${what} did not come up`);
}

async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await Promise.race([gone, sleep(20_000)]);
  child.kill('SIGKILL');
  await gone;
}

/** A daemon with its data on the disk and the rest in a short path, as sockets need. */
async function daemon(disk, start) {
  const run = mkdtempSync('/tmp/ctr-d-');
  const { command, socket, pull } = start(disk, run);
  const child = spawn(command[0], command.slice(1), { stdio: 'ignore' });
  try {
    await waitFor(command[0], () => existsSync(socket));
    await sleep(300);
  } catch (error) {
    await end(child);
    throw error;
  }
  return {
    pull,
    cpu: () => cpuOf(child.pid),
    peak: () => peakOf(child.pid),
    async stop() {
      await end(child);
      await sleep(200);
      rmSync(run, { recursive: true, force: true });
    },
  };
}

/** What podman needs on a host like this one: no limits that only CAP_SYS_RESOURCE raises, and its own places for everything. */
export function podmanEnv(run) {
  mkdirSync(run);
  writeFileSync(path.join(run, 'storage.conf'), `[storage]\ndriver = "overlay"\nrunroot = "${run}/run"\ngraphroot = "${run}/graph"\n`);
  writeFileSync(path.join(run, 'containers.conf'), '[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = "cgroupfs"\n');
  return { CONTAINERS_CONF: `${run}/containers.conf`, CONTAINERS_STORAGE_CONF: `${run}/storage.conf` };
}

export const PEERS = {
  'skopeo + umoci': {
    needs: ['skopeo', 'umoci'],
    start: async (disk, { host, policy }) => ({
      pull: (image) => [
        'sh',
        '-c',
        'skopeo --policy "$1" copy -q --src-tls-verify=false "docker://$2" "oci:$3/layout:x" && umoci unpack --image "$3/layout:x" "$3/bundle"',
        'sh',
        policy,
        `${host}/${image}`,
        disk,
      ],
    }),
  },
  docker: {
    needs: ['dockerd', 'docker'],
    start: (disk, { host }) =>
      daemon(disk, (data, run) => {
        writeFileSync(path.join(run, 'daemon.json'), JSON.stringify({ 'insecure-registries': [host] }));
        const client = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : find('docker');
        const socket = `${run}/s`;
        const flags = [
          '--config-file',
          `${run}/daemon.json`,
          '--iptables=false',
          '--bridge=none',
          '--storage-driver=overlay2',
          '-H',
          `unix://${socket}`,
        ];
        return {
          socket,
          command: [find('dockerd'), ...flags, '--data-root', `${data}/docker`, '--exec-root', `${run}/x`, '-p', `${run}/pid`],
          pull: (image) => [client, '--config', run, '-H', `unix://${socket}`, 'pull', '-q', `${host}/${image}`],
        };
      }),
  },
  containerd: {
    needs: ['containerd', 'ctr'],
    start: (disk, { host }) =>
      daemon(disk, (data, run) => {
        const socket = `${run}/s`;
        writeFileSync(
          path.join(run, 'config.toml'),
          `version = 2\nroot = "${data}/containerd"\nstate = "${run}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "${socket}"\n`,
        );
        return {
          socket,
          command: [find('containerd'), '--config', `${run}/config.toml`],
          pull: (image) => [find('ctr'), '-a', socket, 'images', 'pull', '--plain-http', `${host}/${image}`],
        };
      }),
  },
  podman: {
    needs: ['podman'],
    start: async (disk, { host, policy }) => {
      const env = Object.entries(podmanEnv(path.join(disk, 'podman'))).map(([key, value]) => `${key}=${value}`);
      return {
        pull: (image) => ['env', ...env, 'podman', 'pull', '-q', '--tls-verify=false', '--signature-policy', policy, `${host}/${image}`],
      };
    },
  },
};
