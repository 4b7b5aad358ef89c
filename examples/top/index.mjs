// top for control groups: a live table of those below a directory, by @ctr/cgroups alone.
//   node index.mjs              the cgroups below our own, or those named: node index.mjs /system.slice
//   node index.mjs --demo       with three of its own that work, held to limits
// Ends with q or Ctrl-C; prints one table when it does not write to a terminal.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { createCgroup, detectCgroups, openCgroup, openParent, UnsupportedError } from '@ctr/cgroups';

const args = process.argv.slice(2);
const demo = args.includes('--demo');
const below = args.find((a) => !a.startsWith('--'));
const live = process.stdout.isTTY === true;
const INTERVAL_MS = live ? 1000 : 500;
const PARTS = ['cpu', 'memory', 'pids', 'io', 'pressure'];

/** The directories of a hierarchy below `top`, by their path from there. */
function* tree(top, name = '') {
  let entries = [];
  try {
    entries = readdirSync(path.join(top, name), { withFileTypes: true });
  } catch {
    return; // gone meanwhile, or not ours to see
  }
  if (name !== '') yield name;
  for (const e of entries) if (e.isDirectory()) yield* tree(top, path.join(name, e.name));
}

/** Every cgroup below our own (or below the named one) in any hierarchy: name to directory for each controller. */
function find(host) {
  const tops = Object.entries(host.controllers).flatMap(([c, place]) => (place.directory ? [[c, place.directory]] : []));
  if (host.unified) tops.push(['unified', host.unified.directory]);
  const found = new Map();
  for (const [controller, own] of tops) {
    const top = below === undefined ? own : path.join(own, below);
    for (const name of tree(top)) found.set(name, { ...found.get(name), [controller]: path.join(top, name) });
  }
  return found;
}

const bytes = (n) => {
  if (n === null || n === undefined) return '-';
  const unit = Math.min(4, Math.floor(Math.log2(Math.max(1, n)) / 10));
  return `${(n / 1024 ** unit).toFixed(unit === 0 ? 0 : 1)}${['B', 'K', 'M', 'G', 'T'][unit]}`;
};
const percent = (n) => (n === null || n === undefined ? '-' : `${n.toFixed(1)}%`);
const count = (n, limit) => (n === null || n === undefined ? '-' : `${n}${limit ? `/${limit}` : ''}`);

const HEAD = ['cgroup', 'cpu', 'throttled', 'memory', 'of', 'pids', 'read/s', 'write/s', 'cpu psi', 'mem psi', 'oom'];

const row = (name, { rates, cpu, memory, pids, pressure }) => [
  name,
  percent(rates.cpuPercent),
  cpu?.limitCpus ? percent(rates.throttledPercent) : '-',
  bytes(memory?.workingSetBytes),
  bytes(memory?.limitBytes),
  count(pids?.current, pids?.limit),
  rates.readBytesPerSecond === null ? '-' : bytes(rates.readBytesPerSecond),
  rates.writeBytesPerSecond === null ? '-' : bytes(rates.writeBytesPerSecond),
  percent(pressure?.cpu?.some?.avg10Percent),
  percent(pressure?.memory?.some?.avg10Percent),
  memory?.oomKills ? String(memory.oomKills) : '',
];

function table(rows) {
  const all = [HEAD, ...rows];
  const widths = HEAD.map((_, i) => Math.max(...all.map((r) => r[i].length)));
  return all.map((r) => r.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')).join('\n');
}

/** Watches each cgroup for as long as it is there; the newest sample of each is what is shown. */
class Table {
  samples = new Map();
  #watched = new Set();

  look(host, signal) {
    for (const [name, directories] of find(host)) if (!this.#watched.has(name)) void this.#watch(name, directories, signal);
  }

  async #watch(name, directories, signal) {
    this.#watched.add(name);
    for await (const sample of openCgroup(directories).watch({ interval: INTERVAL_MS, only: PARTS, signal }))
      this.samples.set(name, sample);
    this.samples.delete(name);
    this.#watched.delete(name);
  }

  toString() {
    const busy = ([, s]) => -(s.rates.cpuPercent ?? 0);
    const sorted = [...this.samples].sort((a, b) => busy(a) - busy(b) || a[0].localeCompare(b[0]));
    const shown = live ? sorted.slice(0, Math.max(1, (process.stdout.rows ?? 24) - 3)) : sorted;
    return table(shown.map(([name, sample]) => row(name, sample)));
  }
}

/** Three cgroups that have something to show. */
async function startDemo() {
  const parent = await openParent('top-demo');
  const jobs = {
    spinner: [{ cpus: 0.2 }, 'for (;;);'],
    eater: [{ memory: 96 * 1024 * 1024 }, 'globalThis.b = Buffer.alloc(3e7, 1); setInterval(() => b, 1e3)'],
    idler: [{ pids: 20 }, 'setInterval(() => 0, 1e3)'],
  };
  const boxes = [];
  const end = async () => {
    for (const box of boxes) await box[Symbol.asyncDispose]();
    await parent.remove();
  };
  try {
    for (const [name, [limits, script]] of Object.entries(jobs)) {
      const box = await createCgroup(parent, name, limits);
      boxes.push(box);
      await box.add(spawn(process.execPath, ['-e', script], { stdio: 'ignore' }).pid);
    }
    return end;
  } catch (error) {
    await end();
    throw error;
  }
}

const stop = new AbortController();
const end = () => stop.abort();
process.once('SIGINT', end);
process.once('SIGTERM', end);
if (live && process.stdin.isTTY) {
  process.stdin.setRawMode(true);
  process.stdin.on('data', (key) => (key.toString() === 'q' || key[0] === 3) && end());
}

const pause = () =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, INTERVAL_MS);
    stop.signal.addEventListener('abort', () => resolve(clearTimeout(timer)), { once: true });
  });

let endDemo = async () => {};
try {
  const host = await detectCgroups();
  if (demo) endDemo = await startDemo();
  const shown = new Table();
  for (let round = 0; !stop.signal.aborted && (live || round < 3); round++) {
    shown.look(host, stop.signal);
    await pause();
    if (live) process.stdout.write(`\x1b[H\x1b[2J${new Date().toLocaleTimeString()}  ${host.mode} cgroups, q ends\n\n${shown}\n`);
  }
  if (!live) console.log(`${host.mode} cgroups\n${shown}`);
} catch (error) {
  if (!(error instanceof UnsupportedError)) throw error;
  console.log(error.message);
} finally {
  stop.abort();
  await endDemo();
  if (process.stdin.isTTY) process.stdin.setRawMode(false);
  process.stdin.unref?.();
}
