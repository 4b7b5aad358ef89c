// What the benchmarks share: options, the scratch folder, the peers, the two Nodes, rounds, and the file of results.
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { Launcher } from './launcher.mjs';
import { NodeWorker } from './node-worker.mjs';
import { summary } from './numbers.mjs';
import { bwrap } from './peers/bwrap.mjs';
import { docker } from './peers/docker.mjs';
import { oci } from './peers/oci.mjs';
import { makeScratch, ordinaryUser } from './scratch.mjs';

export const option = (name, otherwise) => process.argv.find((a) => a.startsWith(`--${name}=`))?.slice(name.length + 3) ?? otherwise;
const only = option('only')?.split(',');
/** True when any of the ways is to be measured. */
export const wanted = (...keys) => only === undefined || keys.some((k) => only.includes(k));

export const say = (text = '') => process.stdout.write(`${text}\n`);

/** 12 to 15 ms of idleness before each sample: a start out of the blue, not one in a hot loop. */
export const gap = () => 12 + Math.random() * 3;
const WARM_UP = 5;

/** Runs `work` with everything that is measured at hand, and takes it all away afterwards. */
export async function bench({ heap = 0, rootless: asUser = false }, work) {
  const undo = [];
  try {
    const scratch = makeScratch();
    undo.push(scratch.remove);
    const daemon = wanted('docker', 'runc', 'crun') ? await docker(scratch) : { peers: [], stop() {} };
    undo.push(daemon.stop);
    const runtimes = wanted('runc', 'crun') ? await oci(scratch, daemon.config) : { peers: [], stop() {} };
    undo.push(runtimes.stop);
    const sandbox = wanted('bwrap', 'bwrapEqual') ? await bwrap(scratch) : [];
    const all = [...sandbox, ...runtimes.peers, ...daemon.peers].filter((p) => p.skip || wanted(p.key));
    const node = (megabytes, user) => {
      const worker = new NodeWorker(scratch.root, megabytes, user);
      undo.push(() => worker.stop());
      return worker;
    };
    const launch = () => {
      const launcher = new Launcher(scratch.launcher);
      undo.push(() => launcher.stop());
      return launcher;
    };
    const idle = node(0);
    const loaded = heap > 0 ? node(heap) : undefined;
    await idle.ready;
    const rootless = asUser && wanted('diskRootless', 'memoryRootless') ? node(0, ordinaryUser(scratch.dir)) : undefined;
    await rootless?.ready;
    const heapUsedMiB = (await loaded?.ready)?.heapUsedMiB;
    const peers = all.filter((p) => !p.skip);
    headline(heapUsedMiB, peers);
    await work({ scratch, daemon, peers, idle, rootless, loaded, launch });
    for (const { name, skip } of all.filter((p) => p.skip)) say(`not measured: ${name}: ${skip}`);
  } finally {
    for (const take of undo.reverse()) await take();
  }
}

function headline(heapUsedMiB, peers) {
  const heap = heapUsedMiB ? `; ${heapUsedMiB} MiB of live heap in the second Node` : '';
  say(`Linux ${release()}, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim()}, load ${loadavg()[0].toFixed(1)}${heap}`);
  if (loadavg()[0] > 1)
    say('The machine is busy: medians may be drifted and p99 is mostly other programs; ratios within this run hold best.');
  for (const p of peers) if (p.note) say(`${p.name}: ${p.note}`);
  say();
}

/** Samples every way once in each round; the first rounds are dropped. Returns the samples by key. */
export async function interleave(ways, rounds) {
  const samples = Object.fromEntries(ways.map((w) => [w.key, []]));
  for (let round = -WARM_UP; round < rounds; round++) {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[Kround ${Math.max(round + 1, 0)} of ${rounds}`);
    for (const way of ways) {
      const sample = await way.sample();
      if (round >= 0) samples[way.key].push(sample);
    }
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  return samples;
}

/** { start: { n, p50, p99, max }, run: … } of a way's samples. */
export const summaries = (samples) =>
  Object.fromEntries(Object.keys(samples[0]).map((field) => [field, summary(samples.map((s) => s[field]))]));

/** Writes everything to the file of --out, when there is one. */
export function write(data) {
  const out = option('out');
  if (!out) return;
  const { version } = JSON.parse(readFileSync(new URL('../packages/runtime/package.json', import.meta.url), 'utf8'));
  const host = { kernel: release(), node: process.version, cpu: cpus()[0]?.model, cores: cpus().length, load: loadavg() };
  writeFileSync(out, `${JSON.stringify({ version, when: new Date().toISOString(), host, ...data }, null, 1)}\n`);
}
