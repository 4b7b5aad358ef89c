// Control groups alone: what one costs to make, limit, enter and remove against runc's part for cgroups, how fast its
// statistics are read against Docker's API, and whether ten thousand of them leave anything behind.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createCgroup, openParent } from '@ctr/cgroups';
import { option, say, wanted, write } from './bench.mjs';
import { percentile, table, us } from './numbers.mjs';
import { docker } from './peers/docker.mjs';
import { find, makeScratch } from './scratch.mjs';

const ROUNDS = Number(option('rounds', '30'));
const CYCLES = Number(option('cycles', '10000'));
const LIMITS = { memory: 64 << 20, cpus: 0.5, pids: 20, cpusetCpus: '0' };
const starter = fileURLToPath(new URL('cgroups-start.mjs', import.meta.url));

const hrtime = () => Number(process.hrtime.bigint()) / 1e3;

/** The microseconds at the end of a line of `strace -T`. */
const costOf = (line) => Number(/<(\d+\.\d+)>$/.exec(line)?.[1] ?? 0) * 1e6;

const CALLS =
  'mkdir,mkdirat,open,openat,openat2,read,write,close,rmdir,unlinkat,stat,lstat,newfstatat,statx,fstatfs,statfs,access,faccessat,faccessat2,getdents64';

/**
 * Time in system calls that name the cgroup, and their number, of one run of a command. Each thread has a log of its own: in a common one
 * a call that takes long is split by those of the others, and its end, which has the time, names no file. Tracer and traced share the
 * processor that the limits allow: to wake the other one for each call takes longer than the call.
 */
function traced(scratch, name, args) {
  const logs = path.join(scratch.dir, 'trace');
  mkdirSync(logs);
  try {
    const strace = [find('strace'), '-ff', '-y', '-T', '-s', '300', '-e', `trace=${CALLS}`, '-o', path.join(logs, 'of')];
    const r = spawnSync(find('taskset'), ['-c', LIMITS.cpusetCpus, ...strace, ...args], { stdio: 'ignore' });
    if (r.status !== 0) throw new Error(`${args.join(' ')} ended with ${r.status}`);
    const lines = readdirSync(logs).flatMap((log) => readFileSync(path.join(logs, log), 'utf8').split('\n'));
    // What tracing itself costs: to close an ordinary file is a matter of a microsecond.
    const floor = percentile(lines.filter((l) => l.startsWith('close(') && !l.includes('/sys/fs/cgroup')).map(costOf), 0.5);
    const costs = lines.filter((l) => l.includes('/sys/fs/cgroup') && l.includes(name)).map(costOf);
    return { us: costs.reduce((sum, us) => sum + Math.max(0, us - floor), 0), calls: costs.length };
  } finally {
    rmSync(logs, { recursive: true });
  }
}

function bundle(scratch) {
  const dir = path.join(scratch.dir, 'cgroup-bundle');
  mkdirSync(dir);
  const config = {
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, cwd: '/', args: ['/bin/stamp'], env: ['PATH=/bin'] },
    root: { path: scratch.root },
    mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
    linux: {
      namespaces: ['pid', 'mount', 'ipc', 'uts'].map((type) => ({ type })),
      resources: {
        memory: { limit: LIMITS.memory, swap: LIMITS.memory },
        cpu: { quota: 50_000, period: 100_000, cpus: '0' },
        pids: { limit: LIMITS.pids },
      },
    },
  };
  writeFileSync(path.join(dir, 'config.json'), JSON.stringify(config));
  return dir;
}

/** What the limits need, of all that the host has. */
const FOUR = 'cpu,cpuset,memory,pids';

/** All by the same measure: strace's time in the system calls that name the cgroup, less what tracing costs. Ours is one start in a session that is open. */
function againstRunc(scratch) {
  const missing = ['strace', 'taskset', 'runc'].filter((program) => !find(program));
  if (missing.length > 0) return say(`not measured: runc’s part: ${missing.join(', ')} not installed`);
  const dir = bundle(scratch);
  const start = (name, ...how) => traced(scratch, `/${name}`, [process.execPath, starter, name, scratch.root, ...how]);
  const ways = [
    ['runc', 'runc run', (name) => traced(scratch, name, [find('runc'), 'run', '--bundle', dir, name])],
    ['whole', 'ours, in a start', (name) => start(name)],
    ['bare', '… nothing read at its end', (name) => start(name, 'unread')],
    ['four', '… and 4 controllers', (name) => start(name, 'unread', FOUR)],
  ];
  const samples = ways.map(() => []);
  for (let i = -1; i < ROUNDS; i++)
    for (const [w, [key, , run]] of ways.entries()) {
      const sample = run(`b${process.pid}-${key}-${i + 1}`);
      if (i >= 0) samples[w].push(sample);
    }
  const p50 = (w, field) =>
    percentile(
      samples[w].map((r) => r[field]),
      0.5,
    );
  const ratios = ways.map((_, w) => p50(w, 'us') / p50(0, 'us'));
  const rows = ways.map(([, label], w) => [label, us(p50(w, 'us')), p50(w, 'calls'), ratios[w].toFixed(2)]);
  say(table(['make, limit, enter, remove (4 limits)', 'us p50', 'calls', 'of runc’s'], rows));
  // runc reads no statistics: what it does too is the row without them.
  say(`ours / runc: ${ratios[2].toFixed(2)} (target ≤ 0.20: ${ratios[2] <= 0.2 ? 'met' : 'NOT MET'})\n`);
  return Object.fromEntries(ways.map(([key], w) => [key, { us: p50(w, 'us'), calls: p50(w, 'calls'), ratio: ratios[w] }]));
}

async function byHand(parent) {
  const samples = [];
  for (let i = 0; i < 300; i++) {
    const start = hrtime();
    const box = await createCgroup(parent, `h${i}`, LIMITS);
    await box.remove();
    samples.push(hrtime() - start);
  }
  say(`createCgroup() and remove(), 4 limits: ${us(percentile(samples, 0.5))} us p50, ${us(percentile(samples, 0.99))} us p99\n`);
  return { p50: percentile(samples, 0.5), p99: percentile(samples, 0.99) };
}

async function readsPerSecond(ms, read) {
  const end = performance.now() + ms;
  let n = 0;
  for (; performance.now() < end; n++) await read();
  return (n / ms) * 1000;
}

const get = (socketPath, url) =>
  new Promise((resolve, reject) => {
    const r = request({ socketPath, path: url }, (res) => {
      let body = '';
      res.on('data', (c) => {
        body += c;
      });
      res.on('end', () => resolve(JSON.parse(body)));
    });
    r.on('error', reject);
    r.end();
  });

async function stats(parent, scratch) {
  const box = await createCgroup(parent, 'stats', LIMITS);
  const all = await readsPerSecond(1500, () => box.stats());
  // What Docker's answer holds too.
  const same = await readsPerSecond(1500, () => box.stats({ only: ['cpu', 'memory', 'pids', 'io'] }));
  await box.remove();
  const rows = [
    ['stats(), everything with PSI', Math.round(all)],
    ['stats({ only: cpu, memory, pids, io })', Math.round(same)],
  ];
  let peer;
  const daemon = wanted('docker') ? await docker(scratch) : { peers: [{ skip: 'not asked for' }], stop() {} };
  try {
    if (daemon.client) {
      const [program, ...args] = daemon.client;
      const run = [...args, 'run', '-d', '--network', 'none', 'bench:latest', '/bin/sleep', '60'];
      const id = execFileSync(program, run, { encoding: 'utf8' }).trim();
      const socket = args[1].replace('unix://', '');
      peer = await readsPerSecond(3000, () => get(socket, `/containers/${id}/stats?stream=false&one-shot=true`));
      rows.push(['docker: GET /containers/…/stats?one-shot', Math.round(peer)]);
      execFileSync(program, [...args, 'rm', '-f', id], { stdio: 'pipe' });
    } else say(`not measured: docker: ${daemon.peers[0]?.skip}`);
  } finally {
    await daemon.stop();
  }
  say(table(['statistics of one container', 'reads per second'], rows));
  if (peer) say(`ours / docker: ${(same / peer).toFixed(0)} (target ≥ 50: ${same / peer >= 50 ? 'met' : 'NOT MET'})`);
  say();
  return { all, same, docker: peer };
}

/** num_cgroups of every hierarchy: counts those too that were removed and are held by something. */
const counted = () =>
  Object.fromEntries(
    readFileSync('/proc/cgroups', 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map((l) => l.split('\t'))
      .map(([name, , n]) => [name, Number(n)]),
  );

async function cycles(parent) {
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const before = { fds: descriptors(), memory: process.memoryUsage().rss, groups: counted() };
  const start = hrtime();
  for (let i = 0; i < CYCLES; i++) await (await createCgroup(parent, `c${i}`, LIMITS)).remove();
  const seconds = (hrtime() - start) / 1e6;
  const left = parent.hierarchies.flatMap((h) =>
    readdirSync(h.directory, { withFileTypes: true }).filter((e) => e.isDirectory() && e.name !== '_default-devices'),
  );
  // The kernel lets go of a removed cgroup a moment later, by RCU and a work queue; others on the machine have theirs too.
  const more = () => Object.entries(counted()).flatMap(([name, n]) => (n > before.groups[name] ? [[name, n - before.groups[name]]] : []));
  let grown = more();
  for (let waited = 0; grown.length > 0 && waited < 10_000; waited += 200) {
    await sleep(200);
    grown = more();
  }
  say(
    `${CYCLES} made and removed in ${seconds.toFixed(1)} s: ${left.length} directories left, ${descriptors() - before.fds} descriptors, ` +
      `${((process.memoryUsage().rss - before.memory) / 2 ** 20).toFixed(0)} MiB more resident, ` +
      `/proc/cgroups ${grown.length === 0 ? 'as before' : grown.map(([n, d]) => `${n} +${d}`).join(', ')}`,
  );
  return { cycles: CYCLES, seconds, left: left.length, grown: Object.fromEntries(grown) };
}

const scratch = makeScratch();
const parent = await openParent(`ctr-bench-${process.pid}`);
try {
  const result = {};
  if (wanted('runc')) result.start = againstRunc(scratch);
  if (wanted('hand')) result.byHand = await byHand(parent);
  if (wanted('stats')) result.stats = await stats(parent, scratch);
  if (wanted('cycles')) result.cycles = await cycles(parent);
  write({ cgroups: result });
} finally {
  await parent.remove();
  scratch.remove();
}
