// Transforms the test files outside: under emulation that would take longer than running them. vitest keeps what it transformed
// in a folder that the machine sees too.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { say, step } from '../progress.mjs';
import { root, tools } from '../setup.mjs';

/** For CTR_MODULE_CACHE, which vitest.config.ts reads. */
export const moduleCache = path.join(tools, 'vm', 'modules');

/** Old entries are never asked for again, but they stay: the folder is begun anew at this many files. */
const MOST = 4000;

/** Has all modules of `runs` (lists of vitest's arguments) transformed; does nothing when no source has changed since. */
export async function warmModules(runs, nice) {
  if (existsSync(moduleCache) && readdirSync(moduleCache).length > MOST) rmSync(moduleCache, { recursive: true });
  mkdirSync(moduleCache, { recursive: true });
  const stampFile = path.join(moduleCache, 'stamp');
  const stamp = createHash('sha256').update(JSON.stringify(runs)).update(sourceHash()).digest('hex');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  for (const options of runs) await collect(options, nice);
  writeFileSync(stampFile, stamp);
}

/** `vitest list` imports the files without running a test. A file that cannot be imported here is told of by its run. */
async function collect(options, nice) {
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  const env = { CTR_MODULE_CACHE: moduleCache, CTR_REQUIRE: '', CTR_SKIP_LOG: '' };
  const command = ['-n', String(nice), process.execPath, vitest, 'list', '--configLoader=runner', ...options];
  await step('transform the tests for the test machine', 'nice', command, { env }).catch((e) => say(`  ${e.message.split('\n')[0]}`));
}

/** Size and contents of everything that a test may import. */
function sourceHash() {
  const hash = createHash('sha256');
  for (const file of ['vitest.config.ts', 'pnpm-lock.yaml', ...['packages', 'internal', 'e2e'].flatMap(sources)])
    hash.update(file).update('\0').update(readFileSync(file)).update('\0');
  return hash.digest();
}

const SKIP = new Set(['node_modules', 'dist', 'native', '.turbo']);

function sources(dir) {
  return readdirSync(dir, { withFileTypes: true })
    .filter((e) => !SKIP.has(e.name))
    .flatMap((e) => (e.isDirectory() ? sources(path.join(dir, e.name)) : e.name.endsWith('.ts') ? [path.join(dir, e.name)] : []))
    .sort();
}
