// Runs test files in the test machine, and adds what they counted to a tally.
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { root } from '../setup.mjs';
import { explainSkips, skipReasons } from '../tally.mjs';
import { buildPrograms, bundled, bundleTests } from './bundle.mjs';
import { boot, quote, withRunFolder } from './guest.mjs';
import { namedRun, SLOWNESS, selectedRuns } from './selection.mjs';

/** Seconds for everything when there is no deadline; a machine that hangs must not hold up CI. */
const GUARD = 3000;
/** Seconds after the deadline for the test that is running then, and for ending. */
const GRACE = 150;
/** Seconds without the end of a test file after which a machine that had to be stopped counts as hung, not as slow. */
const HUNG = 300;

/**
 * Runs `filters` (arguments of vitest), or what selection.mjs selects. What has not begun at `deadline` (milliseconds since the epoch) is
 * skipped and named. `output` gets what is printed.
 */
export async function vmSuite(kernel, tally, { filters = [], nice = 0, deadline, output = (chunk) => process.stdout.write(chunk) } = {}) {
  const runs = filters.length > 0 ? [namedRun(filters)] : selectedRuns();
  await withRunFolder(async (folder) => {
    const share = path.join(folder, 'share');
    const tests = path.join(folder, 'tests');
    await bundleTests(tests, { lines: filters.length > 0 });
    await buildPrograms(tests);
    for (const i of runs.keys()) for (const file of Object.values(results(share, i))) makeWritable(file);
    const env = {
      CTR_SLOWNESS: String(SLOWNESS),
      CTR_TEST_BUNDLES: tests,
      CTR_REQUIRE: process.env.CTR_REQUIRE_VM ?? '',
      CTR_VM_DEADLINE: deadline === undefined ? '' : String(deadline),
    };
    const seconds = deadline === undefined ? GUARD : Math.max(GRACE, (deadline - Date.now()) / 1000 + GRACE);
    const { failure, late } = await boot(folder, { kernel, script: script(runs), env, seconds, nice, output });
    const slow =
      late && deadline !== undefined && runs.some((_, i) => Date.now() - statSync(results(share, i).counts).mtimeMs < HUNG * 1000);
    if (slow) tally.skip('vm', `stopped ${GRACE} s after its time was up; what had not ended did not count`);
    else if (failure !== undefined) tally.fail(failure);
    for (const [i, { title }] of runs.entries()) {
      const { counts, skips, status } = results(share, i);
      // Of a machine that broke down only the run that it interrupted is incomplete, and that is counted already.
      const ended = readFileSync(status, 'utf8').trim();
      tally.add(
        counts,
        failure === undefined || ended !== '' ? Number(ended) : 0,
        `vitest in the test machine (${title}) ended with ${ended}`,
      );
      explainSkips('in the test machine', inOneLine(skipReasons(skips)), /^needs (ordinary-user|cgroup1):/);
    }
  });
}

/** The runs as shell: those beside the others in the background, one after the other, and nothing may run beside the last one. */
function script(runs) {
  const lines = runs.map((run, i) => ({ ...run, text: vitestLines(run, i) }));
  const beside = lines.filter((run) => run.beside).map((run) => run.text);
  const others = lines.filter((run) => !run.beside).map((run) => run.text);
  const last = others.length > 1 ? ['wait', others.pop()] : [];
  return [...(beside.length > 0 ? ['{', ...beside, '} &'] : []), ...others, ...last, 'wait'].join('\n');
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
    '--configLoader=runner',
    '--update=none',
    ...reporters,
    ...options.map(bundled),
  ];
  // Modules that several files import, such as fixtures, are then there once: internal/src/testing/temp.ts.
  const together = `CTR_TEST_TOGETHER=${options.includes('--no-isolate') ? 1 : 0}`;
  return [
    `printf '\\n%s, Linux %s\\n' ${quote(`Tests in the test machine: ${title}`)} "$(uname -r)"`,
    `CTR_COUNT_FILE=${counts} CTR_SKIP_LOG=${skips} CTR_TEST_ORDER=${quote(order.map(bundled).join())} ${together} ${command.map(quote).join(' ')}`,
    `echo $? >${status}`,
  ].join('\n');
}
