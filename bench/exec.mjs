// How long does a further program in a running container take to start, against nsenter, crun exec, runc exec and docker exec?
// node bench/exec.mjs [--rounds=50] [--out=FILE]   As root; the method is that of start.mjs.
import { execFileSync } from 'node:child_process';
import { bench, gap, interleave, option, say, summaries, write } from './bench.mjs';
import { table, us } from './numbers.mjs';
import { find } from './scratch.mjs';
import { EXEC, judge } from './targets.mjs';

const rounds = Number(option('rounds', 50));

/** The same program beside the first one of a container that each peer runs; `stop` ends that container. */
function peersWithBox({ peers, scratch, daemon }, pid) {
  const list = [
    {
      key: 'nsenter',
      name: 'nsenter',
      args: [find('nsenter'), '--target', String(pid), '-m', '-u', '-i', '-n', '-p', '-C', '/bin/stamp'],
      stop() {},
    },
  ];
  for (const peer of peers) if (peer.key === 'runc' || peer.key === 'crun') list.push(ociExec(scratch, peer));
  if (peers.some((p) => p.key === 'docker')) list.push(dockerExec(daemon));
  return list;
}

/** Of runc or crun; `mountNamespace` is the one that it has to be in. */
function ociExec({ dir }, { key, mountNamespace }) {
  const bundle = `${dir}/exec-bundle`;
  const runtime = [find(key), '--root', `${dir}/${key}-exec-state`];
  const inside = mountNamespace === undefined ? [] : [find('nsenter'), `--mount=${mountNamespace}`];
  const call = (...args) => {
    const [program, ...rest] = [...inside, ...runtime, ...args];
    execFileSync(program, rest, { stdio: 'ignore' });
  };
  // The bundle of the start benchmark with another program.
  execFileSync('sh', [
    '-c',
    'mkdir -p "$0" && sed "s#\\"/bin/stamp\\"#\\"/bin/sleep\\",\\"1000000\\"#" "$1/config.json" > "$0/config.json"',
    bundle,
    `${dir}/bundle`,
  ]);
  const name = `${key}-execbox`;
  call('run', '--detach', '--bundle', bundle, name);
  return {
    key: `${key}Exec`,
    name: `${key} exec`,
    args: [...runtime, 'exec', name, '/bin/stamp'],
    mountNamespace,
    stop: () => call('delete', '--force', name),
  };
}

function dockerExec({ peers }) {
  const docker = peers[0].args.slice(0, 3);
  const call = (...args) =>
    execFileSync(docker[0], [...docker.slice(1), ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  const id = call('run', '-d', '--network', 'none', 'bench:latest', '/bin/sleep', '1000000');
  return { key: 'dockerExec', name: 'docker exec', args: [...docker, 'exec', id, '/bin/stamp'], stop: () => call('rm', '-f', id) };
}

await bench({}, async (at) => {
  const { pid } = await at.idle.ask('open');
  const launcher = at.launch();
  const peers = peersWithBox(at, pid);
  const ways = [
    { key: 'exec', name: 'ours, box.exec()', sample: () => at.idle.ask('sample', 'exec', gap()) },
    { key: 'execSlots', name: '… with execSlots: 2', sample: () => at.idle.ask('sample', 'execSlots', gap()) },
    ...peers.map((p) => ({ ...p, sample: () => launcher.sample(p, Math.round(gap() * 1000)) })),
  ];
  try {
    const samples = await interleave(ways, rounds);
    const results = Object.fromEntries(ways.map((w) => [w.key, { name: w.name, ...summaries(samples[w.key]) }]));
    const row = ({ key, name }) => [
      name,
      us(results[key].start.p50),
      us(results[key].start.p99),
      us(results[key].run.p50),
      us(results[key].run.p99),
    ];
    say(table(['way, microseconds', 'start p50', 'p99', 'run p50', 'p99'], ways.map(row)));
    write({ rounds, results, targets: judge(EXEC, results), samples });
  } finally {
    for (const p of peers) p.stop();
  }
});
