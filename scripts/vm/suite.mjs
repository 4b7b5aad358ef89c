// Runs test files in the test machine, and adds what they counted to a tally.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { root } from '../setup.mjs';
import { explainSkips, skipReasons } from '../tally.mjs';
import { boot, quote, withRunFolder } from './guest.mjs';
import { SLOWNESS, selectedRuns } from './selection.mjs';
import { moduleCache, warmModules } from './warm.mjs';

/** Seconds for everything; a machine that hangs must not hold up CI. */
const GUARD = 1200;

/** Runs `filters` (arguments of vitest), or what selection.mjs selects. `output` gets what is printed; `warm: false` when the same
 * files have just been run here with CTR_MODULE_CACHE. */
export async function vmSuite(
  kernel,
  tally,
  { filters = [], nice = 0, warm = true, output = (chunk) => process.stdout.write(chunk) } = {},
) {
  const runs = filters.length > 0 ? [{ title: filters.join(' '), options: ['--no-file-parallelism', ...filters] }] : selectedRuns();
  if (warm) await warmModules(runs.map((r) => r.options));
  await withRunFolder(async (folder) => {
    const share = path.join(folder, 'share');
    for (const i of runs.keys()) for (const file of Object.values(results(share, i))) makeWritable(file);
    const env = { CTR_SLOWNESS: String(SLOWNESS), CTR_MODULE_CACHE: moduleCache, CTR_REQUIRE: process.env.CTR_REQUIRE_VM ?? '' };
    const { failure } = await boot(folder, { kernel, script: runs.map(vitestLines).join('\n'), env, seconds: GUARD, nice, output });
    if (failure !== undefined) tally.fail(failure);
    for (const [i, { title }] of runs.entries()) {
      const { counts, skips, status } = results(share, i);
      // Of a machine that broke down only the run that it interrupted is incomplete, and that is counted already.
      const ended = readFileSync(status, 'utf8').trim();
      tally.add(
        counts,
        failure === undefined || ended !== '' ? Number(ended) : 0,
        `vitest in the test machine (${title}) ended with ${ended}`,
      );
      explainSkips('in the test machine', skipReasons(skips), /^needs (ordinary-user|cgroup1):/);
    }
  });
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
function vitestLines({ title, options, user }, i) {
  const { counts, skips, status } = results('/vm/share', i);
  const reporters = ['--reporter=default', '--reporter=./scripts/closing-line.mjs'];
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  const command = [
    ...(user ? [path.join(root, 'scripts/vm/guest/as-user.sh')] : []),
    process.execPath,
    vitest,
    'run',
    '--configLoader=runner',
    '--update=none',
    ...reporters,
    ...options,
  ];
  return [
    `printf '\\n%s, Linux %s\\n' ${quote(`Tests in the test machine: ${title}`)} "$(uname -r)"`,
    `CTR_COUNT_FILE=${counts} CTR_SKIP_LOG=${skips} ${command.map(quote).join(' ')}`,
    `echo $? >${status}`,
  ].join('\n');
}
