// How long until an image of a registry lies unpacked on disk: ours in both forms, skopeo + umoci, docker, containerd, podman.
//   node bench/pull.mjs --data=DIR --prepare            once: makes the images
//   node bench/pull.mjs --data=DIR --image=files [--rounds=5] [--only=erofs,docker] [--out=FILE]      as root
// Each pull gets a file system of its own: a fresh ext4 with a journal, in a mount namespace that goes with this process.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { option, say, wanted, write } from './bench.mjs';
import { percentile, shuffled, table } from './numbers.mjs';
import { prepare, startRegistry } from './pull/images.mjs';
import { PEERS } from './pull/peers.mjs';
import { find } from './scratch.mjs';

const data = path.resolve(option('data', path.join(tmpdir(), 'ctr-bench-images')));
const image = option('image', 'files');
const rounds = Number(option('rounds', '5'));

if (process.argv.includes('--prepare')) {
  await prepare(data, option('layout', '/var/tmp/ctr-fixtures-2/debian-python'));
  process.exit(0);
}
if (process.env.CTR_BENCH_INSIDE !== '1') {
  if (process.getuid() !== 0) throw new Error('run as root: each pull needs a file system of its own');
  const child = spawn('unshare', ['--mount', process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, CTR_BENCH_INSIDE: '1' },
  });
  process.exit(await new Promise((resolve) => child.on('close', resolve)));
}

const worker = fileURLToPath(new URL('./pull/worker.mjs', import.meta.url));
const ours = (form, sync, more = 'mounted', gzip = '') => ({
  needs: [],
  start: async (disk, { host }) => ({
    pull: (name) => [process.execPath, worker, path.join(disk, 'store'), `${host}/${name}`, form, sync, more, gzip],
  }),
});
const WAYS = {
  erofs: ours('erofs', 'no'),
  'erofs, synced': ours('erofs', 'sync'),
  dir: ours('dir', 'no'),
  'erofs, zlib': ours('erofs', 'no', 'mounted', 'zlib'),
  'erofs, then again': ours('erofs', 'no', 'again'),
  ...PEERS,
};

const scratch = mkdtempSync(path.join(tmpdir(), 'ctr-bench-'));
const { host, child: registry } = await startRegistry(data);
const samples = {};
try {
  const missing = Object.entries(WAYS).filter(([, way]) => way.needs.some((program) => find(program) === undefined));
  for (const [name] of missing) say(`not measured: ${name} is not installed`);
  const names = Object.keys(WAYS).filter((name) => wanted(name) && !missing.some(([m]) => m === name));
  for (let round = 0; round < rounds; round++)
    for (const name of shuffled(names)) {
      const sample = await onFreshDisk((disk) => measure(disk, WAYS[name])).catch((error) => ({ error }));
      if (sample.error === undefined) samples[name] = [...(samples[name] ?? []), sample];
      else if (round === 0) say(`${name} fails: ${String(sample.error.message).split('\n')[0].slice(0, 200)}`);
    }
  report();
} finally {
  registry.kill();
  rmSync(scratch, { recursive: true, force: true });
}

async function onFreshDisk(work) {
  const file = path.join(scratch, 'disk.img');
  const disk = path.join(scratch, 'disk');
  execFileSync('truncate', ['-s', '4G', file]);
  execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', file]);
  mkdirSync(disk, { recursive: true });
  execFileSync('mount', ['-o', 'loop,noinit_itable', file, disk]);
  try {
    if (readdirSync(disk).join() !== 'lost+found') throw new Error('the disk is not empty');
    return await work(disk);
  } finally {
    execFileSync('umount', ['--detach-loop', disk], { stdio: 'ignore' });
    rmSync(file);
  }
}

/** Wall seconds; CPU seconds and peak bytes of the command, and of its daemon. */
async function measure(disk, way) {
  const policy = path.join(data, 'policy.json');
  const peer = await way.start(disk, { host, policy });
  try {
    execFileSync('sync');
    const report = path.join(scratch, 'time');
    const command = peer.pull(`${image}:1`);
    const before = peer.cpu?.() ?? 0;
    const began = performance.now();
    const child = spawn('/usr/bin/time', ['-f', '%U %S %M', '-o', report, ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (d) => {
      out += d;
    });
    child.stderr.on('data', (d) => {
      err += d;
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    const wall = (performance.now() - began) / 1000;
    if (code !== 0) throw new Error(`${command.slice(0, 3).join(' ')}: ${err || out}`);
    const [user, system, peak] = readFileSync(report, 'utf8').trim().split('\n').at(-1).split(' ').map(Number);
    const inside = out.startsWith('{') ? JSON.parse(out) : undefined;
    return {
      wall,
      cpu: user + system + (peer.cpu?.() ?? 0) - before,
      peak: Math.max(inside?.peak ?? peak * 1024, peer.peak?.() ?? 0),
      ...(inside && { inside }),
    };
  } finally {
    await peer.stop?.();
  }
}

function report() {
  const median = (list, key) => percentile(list.map(key), 0.5);
  const fastest = Object.entries(samples)
    .filter(([name]) => PEERS[name])
    .map(([name, list]) => ({ name, wall: median(list, (s) => s.wall), cpu: median(list, (s) => s.cpu) }))
    .sort((a, b) => a.wall - b.wall)[0];
  const least = Math.min(
    ...Object.entries(samples)
      .filter(([name]) => PEERS[name])
      .map(([, list]) => median(list, (s) => s.cpu)),
  );
  say(`${image}, ${rounds} rounds; medians; ratios against the fastest and the most frugal peer of this run (${fastest?.name ?? 'none'})`);
  const rows = Object.entries(samples).map(([name, list]) => {
    const wall = median(list, (s) => s.wall);
    const cpu = median(list, (s) => s.cpu);
    const inside = (key) => (list[0].inside?.[key] !== undefined ? median(list, (s) => s.inside[key]).toFixed(1) : '');
    return [
      name,
      wall.toFixed(3),
      Math.min(...list.map((s) => s.wall)).toFixed(3),
      Math.max(...list.map((s) => s.wall)).toFixed(3),
      cpu.toFixed(2),
      (median(list, (s) => s.peak) / 2 ** 20).toFixed(0),
      fastest ? `${(fastest.wall / wall).toFixed(2)}x` : '',
      fastest ? `${(least / cpu).toFixed(2)}x` : '',
      inside('pull'),
      list[0].inside ? Math.max(...list.map((s) => s.inside.stall)).toFixed(1) : '',
      inside('inProcess'),
      inside('warm'),
      inside('noop'),
    ];
  });
  const head = [
    'pull',
    'wall s',
    'min',
    'max',
    'cpu s',
    'peak MiB',
    'wall',
    'cpu',
    'inside ms',
    'stall ms',
    'in process ms',
    'warm ms',
    'no-op ms',
  ];
  say(
    table(
      head,
      rows.sort((a, b) => a[1] - b[1]),
    ),
  );
  write({ image, rounds, samples });
}
