// A Node process that starts containers and measures itself. With --heap=MIB it first fills that much live heap.
// Messages in: { call, args }, one of the functions at the end; out: its result. Times are microseconds.
import { spawn } from 'node:child_process';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

const option = (name) => process.argv.find((a) => a.startsWith(`--${name}=`))?.slice(name.length + 3);
const root = option('root');
const { runContainer } = await import('@ctr/runtime');

/** Live data as programs have it: some large arrays, and mostly millions of small objects. Never freed, all of it touched. */
function fill(megabytes) {
  const live = [];
  for (let i = 0; i < megabytes * 0.25; i++) live.push(new Array(131_072).fill(i + 0.5));
  const target = process.memoryUsage().heapUsed + megabytes * 0.75 * 2 ** 20;
  while (process.memoryUsage().heapUsed < target) live.push(Array.from({ length: 10_000 }, (_, i) => ({ i, text: `v${i}` })));
  return live;
}
globalThis.live = fill(Number(option('heap') ?? 0));

/** The peers' containers have the host's user namespace; ours has one of its own unless it is told so. */
const asPeers = process.getuid() === 0 ? { userns: 'host' } : {};

/** `mark` is called at each event of a start that this thread takes part in. */
const container =
  (writable, userns = asPeers) =>
  (mark = () => {}) => {
    const run = runContainer({ rootfs: root, command: ['/bin/stamp'], writable, stderr: 'ignore', ...userns });
    run.then((box) => {
      mark();
      box.exited.then(mark);
    });
    return run.result();
  };

const bare = (mark = () => {}) =>
  new Promise((resolve, reject) => {
    const child = spawn(`${root}/bin/stamp`, [], { stdio: ['ignore', 'pipe', 'ignore'] });
    child.on('exit', mark);
    let stdout = '';
    child.stdout.on('data', (c) => {
      stdout += c;
    });
    child.on('error', reject);
    child.on('close', () => resolve({ stdout }));
  });

let box;
let slotted;
const WAYS = {
  disk: container('disk'),
  memory: container('memory'),
  diskUser: container('disk', {}),
  memoryUser: container('memory', {}),
  spawn: bare,
  // What the measuring loop, garbage collection and the machine hold by themselves.
  nothing: () => sleep(5),
  exec: () => box.exec(['/bin/stamp'], { stderr: 'ignore' }).result(),
  execSlots: () => slotted.exec(['/bin/stamp'], { stderr: 'ignore' }).result(),
};

const now = () => Number(process.hrtime.bigint()) / 1e3;

/** One start after `gapMs` of idleness. */
async function sample(way, gapMs) {
  await sleep(gapMs);
  const requested = now();
  const pending = WAYS[way]();
  const called = now() - requested;
  const { stdout } = await pending;
  const run = now() - requested;
  return { start: Number(stdout) / 1e3 - requested, run, called };
}

/** Processor time of all threads of this process: what other programs took from it on a busy machine does not count. */
const onProcessor = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

/** Microseconds that the event loop was not asleep so far. */
const awake = () => performance.eventLoopUtilization().active * 1e3;

/**
 * The longest time for which the event loop was awake between two events of one start, as a whole and in processor time: no turn was
 * longer. The loop sleeps in between as it does in a program: one that spins is taken off its processor by whatever wakes up.
 */
async function longestTurn(way) {
  const worst = { wall: 0, cpu: 0 };
  let last = { wall: awake(), cpu: onProcessor() };
  const sample = () => {
    const t = { wall: awake(), cpu: onProcessor() };
    for (const k of ['wall', 'cpu']) worst[k] = Math.max(worst[k], t[k] - last[k]);
    last = t;
  };
  setImmediate(sample);
  await WAYS[way](() => setImmediate(sample));
  sample();
  return worst;
}

async function hold(way, count) {
  const longest = [];
  for (let i = 0; i < count; i++) {
    await sleep(12);
    longest.push(await longestTurn(way));
  }
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  for (let i = 0; i < count; i++) {
    await sleep(5);
    await WAYS[way]();
  }
  histogram.disable();
  return { longest, delayMaxMs: histogram.max / 1e6 };
}

/** `count` starts, `lanes` of them at a time: how many in a second. */
async function throughput(way, count, lanes) {
  let next = 0;
  const started = now();
  const lane = async () => {
    while (next++ < count) await WAYS[way]();
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { perSecond: count / ((now() - started) / 1e6) };
}

/** Containers that stay, for exec: one as it is, one in which processes wait for it. The first one's pid. */
async function open() {
  const idle = { rootfs: root, ...asPeers, command: ['/bin/sleep', '1000000'], stdout: 'ignore', stderr: 'ignore' };
  box = await runContainer(idle);
  slotted = await runContainer({ ...idle, execSlots: 2 });
  return { pid: box.pid };
}

const CALLS = { sample, hold, throughput, open };

process.on('message', async ({ call, args }) => {
  try {
    process.send(await CALLS[call](...args));
  } catch (error) {
    process.send({ error: String(error?.stack ?? error) });
  }
});
process.on('disconnect', () => process.exit(0));
process.send({ heapUsedMiB: Math.round(process.memoryUsage().heapUsed / 2 ** 20) });
