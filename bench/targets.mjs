// The first-light targets: ratios of medians of one interleaved run, or absolute numbers. Each benchmark judges those it can measure.
import { say } from './bench.mjs';
import { table, us } from './numbers.mjs';

const ratio = (what, a, b, most) => ({ what, most, value: (r) => (r[a] && r[b] ? r[a].start.p50 / r[b].start.p50 : undefined) });
const times = (what, a, b, least) => ({ what, least, value: (r) => (r[a] && r[b] ? r[a].perSecond / r[b].perSecond : undefined) });
const held = (what, key, field) => ({ what, most: 1000, unit: 'us', value: (r) => r[key]?.hold?.wall[field] });
const heldCpu = (what, key, field) => ({ what, most: 1000, unit: 'us', value: (r) => r[key]?.hold?.cpu[field] });

export const START = [
  ratio('disk layer / bwrap minimal', 'disk', 'bwrap', 0.9),
  ratio('disk layer / bwrap with equal mounts and filter', 'disk', 'bwrapEqual', 0.6),
  ratio('disk layer / runc run', 'disk', 'runc', 1 / 10),
  ratio('disk layer / crun run', 'disk', 'crun', 1 / 6),
  ratio('disk layer / docker run', 'disk', 'docker', 1 / 45),
  ratio('disk layer, 1 GiB of heap / idle', 'diskHeap', 'disk', 1.2),
  ratio('memory layer, 1 GiB of heap / idle', 'memoryHeap', 'memory', 1.2),
  held('event loop held by a start, p50', 'disk', 'p50'),
  held('event loop held by a start, p50, 1 GiB of heap', 'diskHeap', 'p50'),
  heldCpu('… in processor time, p50', 'disk', 'p50'),
  heldCpu('… in processor time, p50, 1 GiB of heap', 'diskHeap', 'p50'),
];

/** The goals are for a start that takes what the host offers: they are judged for exec() as it is, and for one that finds a process waiting. */
const execGoals = (what, key) => [
  ratio(`goal: ${what} / nsenter`, key, 'nsenter', 0.3),
  ratio(`goal: ${what} / crun exec`, key, 'crunExec', 1 / 12),
  ratio(`goal: ${what} / runc exec`, key, 'runcExec', 1 / 70),
  ratio(`goal: ${what} / docker exec`, key, 'dockerExec', 1 / 110),
];

export const EXEC = [
  ratio('exec / nsenter', 'exec', 'nsenter', 1),
  ratio('exec / runc exec', 'exec', 'runcExec', 1 / 8),
  ...execGoals('exec', 'exec'),
  ...execGoals('exec with execSlots: 2', 'execSlots'),
];

export const THROUGHPUT = [
  times('starts per second / runc', 'memory', 'runc', 5),
  times('starts per second / bwrap minimal', 'memory', 'bwrap', 1),
];

/** Prints which targets are met, and returns them with what was measured; `met` is undefined for what could not be. */
export function judge(targets, results) {
  const judged = targets.map(({ what, most, least, unit, value }) => {
    const measured = value(results);
    const met = measured === undefined ? undefined : most !== undefined ? measured <= most : measured >= least;
    return { what, target: most ?? least, unit: unit ?? 'x', measured, met };
  });
  const show = (v, unit) => (v === undefined ? '-' : unit === 'us' ? us(v) : v.toFixed(3));
  const word = (met) => (met === undefined ? 'not measured' : met ? 'met' : 'NOT MET');
  const limit = (i, j) => `${targets[i].most !== undefined ? '≤' : '≥'} ${show(j.target, j.unit)}`;
  say(
    `\n${table(
      ['first-light target', '', 'measured', ''],
      judged.map((j, i) => [j.what, limit(i, j), show(j.measured, j.unit), word(j.met)]),
    )}`,
  );
  return judged;
}
