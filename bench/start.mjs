// How long does a container take to start, against bwrap, runc, crun, docker and a bare child process, in one interleaved run?
// node bench/start.mjs [--rounds=50] [--out=FILE] [--heap=1024] [--only=disk,memory,bwrap,…]   See README.md for the method.
import { bench, gap, interleave, option, say, summaries, wanted, write } from './bench.mjs';
import { table, us } from './numbers.mjs';
import { judge, START } from './targets.mjs';

const rounds = Number(option('rounds', 50));
const heap = Number(option('heap', 1024));

function allWays({ idle, rootless, loaded, peers, launch }) {
  const node = (worker, way) => ({ worker, way, sample: () => worker.ask('sample', way, gap()) });
  const launcher = launch();
  return [
    { key: 'disk', name: 'ours, disk layer', ...node(idle, 'disk') },
    { key: 'memory', name: 'ours, memory layer', ...node(idle, 'memory') },
    { key: 'diskUser', name: '… disk layer, own user namespace', ...node(idle, 'diskUser') },
    { key: 'memoryUser', name: '… memory layer, own user namespace', ...node(idle, 'memoryUser') },
    { key: 'diskRootless', name: '… disk layer, as an ordinary user', ...node(rootless, 'disk') },
    { key: 'memoryRootless', name: '… memory layer, as an ordinary user', ...node(rootless, 'memory') },
    ...peers.map((p) => ({ ...p, sample: () => launcher.sample(p, Math.round(gap() * 1000)) })),
    { key: 'spawn', name: 'child_process.spawn, no container', ...node(idle, 'spawn') },
    { key: 'diskHeap', name: `ours, disk layer, ${heap} MiB heap`, ...node(loaded, 'disk') },
    { key: 'memoryHeap', name: `ours, memory layer, ${heap} MiB heap`, ...node(loaded, 'memory') },
    { key: 'spawnHeap', name: `child_process.spawn, ${heap} MiB heap`, ...node(loaded, 'spawn') },
  ].filter((w) => wanted(w.key));
}

/** How long the event loop is held. */
async function hold({ worker, way }) {
  await worker.ask('hold', way, 5);
  const { longest, delayMaxMs } = await worker.ask('hold', way, Math.max(30, rounds));
  return { ...summaries(longest), delayMaxMs };
}

function latencies(ways, results) {
  const base = results.bwrap?.start.p50;
  const row = ({ key, name }) => {
    const { start, run } = results[key];
    return [name, us(start.p50), us(start.p99), us(run.p50), us(run.p99), base ? (start.p50 / base).toFixed(2) : '-'];
  };
  say('start: until the program’s first instruction; run: until its end is known\n');
  say(table(['way, microseconds', 'start p50', 'p99', 'run p50', 'p99', '/ bwrap'], ways.map(row)));
}

function loops(results) {
  const row = ({ name, called, hold: h }) => {
    return [name, us(called?.p50), us(h.wall.p50), us(h.wall.p99), us(h.cpu.p50), us(h.cpu.p99), h.delayMaxMs.toFixed(1)];
  };
  say(
    '\ncall: the synchronous part of the call; held: the longest time awake between two events of a start, by the clock; cpu: the same in',
  );
  say('processor time, without what other programs took; delay: the worst that monitorEventLoopDelay saw, in milliseconds\n');
  const rows = Object.values(results).filter((r) => r.hold);
  say(table(['event loop, microseconds', 'call p50', 'held p50', 'p99', 'cpu p50', 'p99', 'delay'], rows.map(row)));
}

await bench({ heap, rootless: true }, async (at) => {
  const ways = allWays(at);
  const samples = await interleave(ways, rounds);
  const results = {};
  for (const w of ways) results[w.key] = { name: w.name, ...summaries(samples[w.key]) };
  latencies(ways, results);
  const measured = ways.filter((w) => w.worker);
  for (const w of measured) results[w.key].hold = await hold(w);
  results.control = { name: 'no start at all', hold: await hold({ worker: at.idle, way: 'nothing' }) };
  results.controlHeap = { name: `no start at all, ${heap} MiB heap`, hold: await hold({ worker: at.loaded, way: 'nothing' }) };
  loops(results);
  write({ rounds, results, targets: judge(START, results), samples });
});
