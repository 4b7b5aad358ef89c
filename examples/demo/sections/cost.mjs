// How long the starts took, and what is left of it all.
import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { bad, good, ms, note, section, table } from '../show/page.mjs';

const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
const percentile = (numbers, p) => sorted(numbers)[Math.min(numbers.length - 1, Math.floor(numbers.length * p))];

export async function whatItCost({ run, starts }) {
  section('How long it took');
  const many = [];
  for (let i = 0; i < 20; i += 1) {
    await run('', { command: ['--version'] }, (container) => container.exited);
    many.push(starts.pop()[1]);
  }
  table([
    ['start of', 'from the call until the program runs'],
    ...starts.map(([what, time]) => [what, ms(time)]),
    ['20 more', `${ms(percentile(many, 0.5))} in the middle, ${ms(Math.max(...many))} at most`],
  ]);
  note('the first one unpacked the image and started the launcher; each has its own namespaces, root, filter and limits');
}

/** Mounts, cgroups and processes of ours, as this process can see them. */
function leftovers() {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes('overlay') && line.includes('ctr'));
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  const helpers = children.filter(
    (pid) => readdirSync(`/proc/${pid}/task`).length > 0 && !readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('ctr'),
  );
  return { mounts: mounts.length, processes: helpers.length };
}

export async function whatIsLeft() {
  section('What is left');
  const left = leftovers();
  const line = `${left.processes} processes, ${left.mounts} mounts`;
  if (left.processes + left.mounts === 0) good(`${line}, and nothing to uninstall; the image stays in the store for the next time`);
  else bad(line);
  process.stdout.write('\n');
}
