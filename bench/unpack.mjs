// How long until the layers of an image lie on disk: unpacking alone, from blobs in the page cache. As root:
//   node bench/unpack.mjs --layout=DIR --tag=TAG [--rounds=5] [--out=FILE]
// Each run gets a file system of its own: a fresh ext4 with a journal, in a mount namespace that goes with the run.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { percentile, shuffled, table } from './numbers.mjs';
import { find } from './scratch.mjs';

const worker = fileURLToPath(new URL('./unpack-worker.mjs', import.meta.url));
const { values: o } = parseArgs({
  options: {
    layout: { type: 'string', default: '/var/tmp/ctr-fixtures-2/debian-python' },
    tag: { type: 'string', default: 'python' },
    rounds: { type: 'string', default: '5' },
    out: { type: 'string' },
  },
});

const layers = () => {
  const blob = (d) => path.join(o.layout, 'blobs', d.digest.replace(':', '/'));
  const index = JSON.parse(readFileSync(path.join(o.layout, 'index.json'), 'utf8'));
  return JSON.parse(readFileSync(blob(index.manifests[0]), 'utf8')).layers.map(blob);
};

const ours = (form, how) => (dir) => [process.execPath, worker, how, form, dir, ...layers()];
const WAYS = {
  'erofs, native threads': ours('erofs', 'pipeline'),
  'dir, native threads': ours('dir', 'pipeline'),
  'erofs, node:zlib': ours('erofs', 'writer'),
  'dir, node:zlib': ours('dir', 'writer'),
  'umoci unpack': (dir) => ['umoci', 'unpack', '--image', `${o.layout}:${o.tag}`, `${dir}/bundle`],
  'tar xz, in turn': (dir) => [
    'sh',
    '-c',
    'd=$1; shift; for b; do mkdir "$d/$#"; tar -xzpf "$b" -C "$d/$#"; shift; done',
    'sh',
    dir,
    ...layers(),
  ],
};

/** Runs a command in a new file system; wall, user and system seconds, without making and leaving the file system. */
function run(scratch, command) {
  const image = path.join(scratch, 'disk');
  const place = path.join(scratch, 'mount');
  writeFileSync(image, '');
  truncateSync(image, 4 * 2 ** 30);
  execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image]);
  mkdirSync(place, { recursive: true });
  const script = `set -e; mount -o loop,noinit_itable "$1" "$2"; mkdir "$2/w"; sync; shift 2
    TIMEFORMAT='%R %U %S'; time "$@" >/dev/null 2>&1`;
  const r = spawnSync('unshare', ['-m', '--propagation', 'private', 'bash', '-c', script, 'bash', image, place, ...command(`${place}/w`)], {
    encoding: 'utf8',
  });
  rmSync(image);
  const numbers = /([\d.]+) ([\d.]+) ([\d.]+)\s*$/.exec(r.stderr ?? '');
  if (r.status !== 0 || numbers === null) throw new Error(`${command(place).slice(0, 4).join(' ')}: ${r.stderr}`);
  const [wall, user, system] = numbers.slice(1).map(Number);
  return { wall, cpu: user + system };
}

if (!existsSync(o.layout)) throw new Error(`there is no OCI layout in ${o.layout}; give --layout=DIR --tag=TAG`);
const scratch = mkdtempSync(path.join(tmpdir(), 'ctr-bench-'));
const samples = Object.fromEntries(Object.keys(WAYS).map((name) => [name, []]));
try {
  for (const blob of layers()) readFileSync(blob);
  const names = Object.keys(WAYS).filter((name) => name !== 'umoci unpack' || find('umoci') !== undefined);
  for (let round = 0; round < Number(o.rounds); round++) for (const name of shuffled(names)) samples[name].push(run(scratch, WAYS[name]));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
const rows = Object.entries(samples)
  .filter(([, list]) => list.length > 0)
  .map(([name, list]) => {
    const of = (key) => list.map((s) => s[key]);
    return [
      name,
      percentile(of('wall'), 0.5).toFixed(2),
      Math.min(...of('wall')).toFixed(2),
      Math.max(...of('wall')).toFixed(2),
      percentile(of('cpu'), 0.5).toFixed(2),
    ];
  });
process.stdout.write(`${table(['unpack', 'wall s p50', 'min', 'max', 'cpu s p50'], rows)}\n`);
if (o.out) writeFileSync(o.out, JSON.stringify({ layout: o.layout, samples }, null, 2));
