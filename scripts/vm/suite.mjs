// Runs test files in the test machine, and adds what they counted to a tally.
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { say } from '../progress.mjs';
import { root } from '../setup.mjs';
import { explainSkips, skipReasons } from '../tally.mjs';
import { buildPrograms, bundled, bundleTests } from './bundle.mjs';
import { boot, quote, withRunFolder } from './guest.mjs';
import { withoutSystemd } from './requirements.mjs';
import { LEFT_OUT, namedRun, SLOWNESS, selectedRuns } from './selection.mjs';

/** Seconds for everything when there is no deadline; a machine that hangs must not hold up CI. */
const GUARD = 3000;
/** Seconds after the deadline for the test that is running then, and for ending. */
const GRACE = 150;
/** Seconds without the end of a test file after which a machine that had to be stopped counts as hung, not as slow. */
const HUNG = 300;

/** The status of a run that did not begin. */
const LATE = 'late';

/** 'packages/image/test/tls.test.ts' -> 'image/tls' */
const shortName = (file) => file.replace(/^packages\/|\.test\.ts$/g, '').replace('/test/', '/');

/**
 * Runs `filters` (arguments of vitest), or what selection.mjs selects. What has not begun at `deadline` (milliseconds since the epoch) is
 * skipped and named. `systemd`: the machine of `filters` is booted with it; `user`: they are run by its ordinary user. `output` gets what is
 * printed.
 */
export async function vmSuite(kernel, tally, { filters = [], systemd = false, user = false, ...limits } = {}) {
  const named = filters.length > 0;
  await withRunFolder(async (folder) => {
    const tests = path.join(folder, 'tests');
    await bundleTests(tests, { lines: named });
    await buildPrograms(tests);
    const runs = named ? [{ ...namedRun(filters), systemd, user }] : selectedRuns();
    const machine = { kernel, folder, tests, tally, ...limits };
    await inMachine(
      machine,
      runs.filter((run) => !run.systemd),
    );
    await inMachineWithSystemd(
      machine,
      runs.filter((run) => run.systemd),
    );
    if (named) return;
    for (const [reason, files] of Object.entries(LEFT_OUT)) say(`  not in the test machine, ${reason}: ${files.map(shortName).join(', ')}`);
  });
}

/** One more machine, where this one has systemd, and while there is time. */
async function inMachineWithSystemd(machine, runs) {
  const { tally, deadline = Number.POSITIVE_INFINITY } = machine;
  if (runs.length === 0) return;
  const reason = withoutSystemd();
  if (reason !== undefined) tally.missing('vm-systemd', reason);
  else if (Date.now() > deadline) for (const { title } of runs) sayLate(tally, title);
  else await inMachine({ ...machine, systemd: true }, runs);
}

/** Boots a machine for `runs`, and adds what they counted. */
async function inMachine({ kernel, folder, tests, tally, systemd, nice = 0, deadline, output = (c) => process.stdout.write(c) }, runs) {
  if (runs.length === 0) return;
  const share = path.join(folder, 'share');
  for (const i of runs.keys()) for (const file of Object.values(results(share, i))) makeWritable(file);
  const env = {
    CTR_SLOWNESS: String(SLOWNESS),
    CTR_TEST_BUNDLES: tests,
    CTR_REQUIRE: process.env.CTR_REQUIRE_VM ?? '',
    CTR_VM_DEADLINE: deadline === undefined ? '' : String(deadline),
  };
  const seconds = deadline === undefined ? GUARD : Math.max(GRACE, (deadline - Date.now()) / 1000 + GRACE);
  const { failure, late } = await boot(folder, { kernel, script: script(runs), env, systemd, seconds, nice, output });
  const slow = late && deadline !== undefined && runs.some((_, i) => Date.now() - statSync(results(share, i).counts).mtimeMs < HUNG * 1000);
  if (slow) tally.skip('vm', `stopped ${GRACE} s after its time was up; what had not ended did not count`);
  else if (failure !== undefined) tally.fail(failure);
  for (const [i, { title }] of runs.entries()) count(tally, results(share, i), title, failure !== undefined);
}

/** Adds what one run counted. Of a machine that broke down only the run that it interrupted is incomplete, and that is counted already. */
function count(tally, { counts, skips, status }, title, broken) {
  const ended = readFileSync(status, 'utf8').trim();
  if (ended === LATE) return sayLate(tally, title);
  tally.add(counts, !broken || ended !== '' ? Number(ended) : 0, `vitest in the test machine (${title}) ended with ${ended}`);
  explainSkips('in the test machine', inOneLine(skipReasons(skips)), /^needs (ordinary-user|cgroup1):/);
}

const sayLate = (tally, title) => tally.skip('vm', `no time left to begin: ${title}`);

/** The runs as shell: those beside the first of the others in the background, one after the other; nothing runs beside the rest. */
function script(runs) {
  const lines = runs.map((run, i) => ({ ...run, text: vitestLines(run, i) }));
  const beside = lines.filter((run) => run.beside).map((run) => run.text);
  const [first, ...others] = lines.filter((run) => !run.beside).map((run) => run.text);
  return [...(beside.length > 0 ? ['{', ...beside, '} &'] : []), first, 'wait', ...others].join('\n');
}

/** What time-limit.mjs left out, file by file, as one reason. */
function inOneLine(reasons) {
  const time = 'needs time: ';
  const files = reasons.filter((r) => r.startsWith(time)).map((r) => r.slice(time.length));
  const others = reasons.filter((r) => !r.startsWith(time));
  return files.length === 0 ? others : [...others, `${time}${files.length} files not run, or not to their end: ${files.join(', ')}`];
}

/** The files that the i-th run leaves in the shared folder. */
const results = (share, i) => ({
  counts: path.join(share, `counts-${i}`),
  skips: path.join(share, `skips-${i}`),
  status: path.join(share, `status-${i}`),
});

/** For the machine's ordinary user too. */
function makeWritable(file) {
  writeFileSync(file, '');
  chmodSync(file, 0o666);
}

/** One run of vitest as shell. Its status goes into a file, so that the next run starts all the same. */
function vitestLines({ title, options, order = [], user }, i) {
  const { counts, skips, status } = results('/vm/share', i);
  const reporters = ['--reporter=default', '--reporter=./scripts/closing-line.mjs'];
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  const command = [
    ...(user ? [path.join(root, 'scripts/vm/guest/as-user.sh')] : []),
    process.execPath,
    '--import',
    path.join(root, 'scripts/vm/patience.mjs'),
    vitest,
    'run',
    '--configLoader=native',
    '--update=none',
    ...reporters,
    ...options.map(bundled),
  ];
  // Modules that several files import, such as fixtures, are then there once: internal/src/testing/temp.ts.
  const together = `CTR_TEST_TOGETHER=${options.includes('--no-isolate') ? 1 : 0}`;
  const lines = [
    `printf '\\n%s, Linux %s\\n' ${quote(`Tests in the test machine: ${title}`)} "$(uname -r)"`,
    `CTR_COUNT_FILE=${counts} CTR_SKIP_LOG=${skips} CTR_TEST_ORDER=${quote(order.map(bundled).join())} ${together} ${command.map(quote).join(' ')} "--config=$CTR_TEST_BUNDLES/vitest.config.mjs"`,
    `echo $? >${status}`,
  ].join('\n');
  // vitest itself takes half a minute to say that there was no time.
  return `if [ -n "$CTR_VM_DEADLINE" ] && [ "$(date +%s)000" -gt "$CTR_VM_DEADLINE" ]; then echo ${LATE} >${status}; else\n${lines}\nfi`;
}
