// How many containers can be started and ended in a second, eight at a time, against bwrap and runc?
// node bench/throughput.mjs [--count=2000] [--lanes=8] [--out=FILE]   Peers run a tenth of the count: they are slower.
import { bench, option, say, write } from './bench.mjs';
import { table } from './numbers.mjs';
import { judge, THROUGHPUT } from './targets.mjs';

const count = Number(option('count', 2000));
const lanes = Number(option('lanes', 8));

/** Eight launchers, each with one peer at a time. runc needs a name of its own for each lane. */
async function peerThroughput(peer, launch) {
  const total = Math.max(40, Math.round(count / 10));
  let next = 0;
  const lane = async (launcher, number) => {
    const args = peer.args.map((a) => (a === 'bench' ? `bench${number}` : a));
    while (next++ < total) await launcher.sample({ ...peer, args }, 0);
  };
  const launchers = Array.from({ length: lanes }, launch);
  const started = performance.now();
  await Promise.all(launchers.map(lane));
  return { perSecond: total / ((performance.now() - started) / 1000) };
}

await bench({}, async ({ idle, peers, launch }) => {
  const results = {};
  const ways = { disk: 'ours, disk layer', memory: 'ours, memory layer', memoryUser: '… memory layer, own user namespace' };
  for (const [way, name] of Object.entries(ways)) {
    await idle.ask('throughput', way, 50, lanes);
    results[way] = { name, ...(await idle.ask('throughput', way, count, lanes)) };
  }
  for (const p of peers) results[p.key] = { name: p.name, ...(await peerThroughput(p, launch)) };
  say(
    table(
      [`way, ${lanes} at a time`, 'per second'],
      Object.values(results).map((r) => [r.name, r.perSecond.toFixed(0)]),
    ),
  );
  write({ count, lanes, results, targets: judge(THROUGHPUT, results) });
});
