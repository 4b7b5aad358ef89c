// Limits that hold, and ends that say which one was met.
import { freemem } from 'node:os';
import { bad, code, good, mib, note, row, section } from '../show/page.mjs';

/** What it wrote, and how it ended. */
async function outcome(container) {
  let output = '';
  for await (const chunk of container.stdout) output += chunk;
  return { output, end: await container.exited };
}

/** A limit that this user cannot set here is told with its cure, not left out. */
function missing(host, what) {
  const feature = host.features[`limit ${what}`];
  if (feature?.ok) return false;
  bad(`limiting ${what} is not possible for this user: ${feature?.why ?? 'no cgroups'}`);
  if (feature?.cure) note(feature.cure);
  return true;
}

async function memory({ run, host }) {
  section('100 MB of memory, and a program that takes 200');
  if (missing(host, 'memory')) return;
  code('node take-memory.mjs');
  const before = freemem();
  const { end, output } = await run('a memory limit', { command: ['take-memory.mjs'], resources: { memory: '100m' } }, outcome);
  row('got as far as', `${output.trim().split('\n').at(-1) || 0} MB`);
  row('ended by', `${end.signal ?? `exit code ${end.exitCode}`}, reason: '${end.reason}', oomKilled: ${end.oomKilled}`);
  row('peak', end.usage.memoryPeakBytes === null ? 'not counted here' : mib(end.usage.memoryPeakBytes));
  row('free outside', `${mib(before)} before, ${mib(freemem())} after: the host did not notice`);
}

async function cpu({ run, host }) {
  section('Half a core');
  if (missing(host, 'cpus')) return;
  code('node spin.mjs 1500');
  const use = async (what, resources) => {
    const { end } = await run(what, { command: ['spin.mjs', '1500'], resources }, outcome);
    const { usage, durationMs } = end;
    row(
      what,
      `${((usage.cpuMs ?? usage.cpuUserMs + usage.cpuSystemMs) / durationMs).toFixed(2)} cores used${usage.throttledMs ? `, held back for ${usage.throttledMs.toFixed(0)} ms` : ''}`,
    );
  };
  await use('no limit', {});
  await use('cpus: 0.5', { cpus: 0.5 });
}

async function pids({ run, host }) {
  section('At most 40 processes and threads, and a loop that forks');
  if (missing(host, 'pids')) return;
  code('node fork-loop.mjs');
  const { end, output } = await run('a pids limit', { command: ['fork-loop.mjs'], resources: { pids: 40 } }, outcome);
  const { usage, exitCode } = end;
  const seen = output.startsWith('{') ? JSON.parse(output) : undefined;
  row(
    'inside',
    seen
      ? `${seen.started} copies started, the next one was refused: ${seen.refused}`
      : `ended with exit code ${exitCode}: not even its own threads had room`,
  );
  row('outside', `${usage.pidsLimitHits ?? '?'} times a fork was refused, at most ${usage.pidsPeak ?? 40} at once`);
  good('all of them ended with the container');
}

export async function itsOwnLimits(context) {
  await memory(context);
  await cpu(context);
  await pids(context);
}
