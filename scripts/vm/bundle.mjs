// Bundles the test files outside: transforming and resolving their modules under emulation would take longer than running them. Each test
// file becomes one module of plain JavaScript under the same path, what several of them import goes into shared ones, and vitest imports
// both natively (vitest.config.ts, CTR_TEST_BUNDLES).
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { step } from '../progress.mjs';
import { root } from '../setup.mjs';
import { find } from '../tools.mjs';
import { FOLDERS } from './selection.mjs';

/** The name of a test file's bundle, and of a filter that names it. */
export const bundled = (file) => file.replace(/\.test\.ts$/, '.test.mjs');

/** They import TypeScript that they write (selection.mjs). */
const NOT_BUNDLED = /(^|\/)readme\.test\.ts$/;

/** Bundles all tests into `to`. `lines`: errors tell lines of the sources, which costs time when they are loaded. */
export async function bundleTests(to, { lines = false } = {}) {
  rmSync(to, { recursive: true, force: true });
  const script = `(await import(process.argv[1])).build(...JSON.parse(process.argv[2]))`;
  const args = JSON.stringify([to, lines]);
  await step('bundle the tests for the test machine', process.execPath, ['--input-type=module', '-e', script, import.meta.url, args]);
}

/** Settled beforehand too: Vite takes three seconds there to read it as TypeScript. */
const CONFIG = 'vitest.config.ts';

/** Has a function `insidePrograms`. */
const PROGRAMS = 'e2e/fixtures/inside.ts';

/**
 * Compiles the programs that run in containers, which takes a minute inside. They lie where the tests look for them: root's, which the
 * machine's root takes for his. Where there is no compiler the tests say what they miss.
 */
export async function buildPrograms(tests) {
  if (process.getuid?.() !== 0 || find('cc') === undefined) return;
  const script = 'await (await import(process.argv[1])).insidePrograms()';
  const module = path.join(tests, PROGRAMS.replace(/ts$/, 'mjs'));
  await step('compile what the tests run inside', process.execPath, ['--input-type=module', '-e', script, module]);
}

/** Done in a process of its own: esbuild's keeps running otherwise. */
export async function build(to, lines) {
  // esbuild belongs to tsup, which builds the packages.
  const require = createRequire(import.meta.url);
  const esbuild = createRequire(require.resolve('tsup'))('esbuild');
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: [...FOLDERS.flatMap((folder) => tests(folder)), PROGRAMS, CONFIG],
    outdir: to,
    outbase: root,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'shared/[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: `node${process.versions.node}`,
    conditions: ['ctr:source'],
    external: ['vitest', 'vitest/*', 'tsup', 'typescript', '*.node'],
    sourcemap: lines ? 'inline' : false,
    // What is CommonJS requires built-in modules.
    banner: { js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);" },
    define: { 'import.meta.url': '__moduleUrl', 'import.meta.dirname': '__moduleDir', 'import.meta.filename': '__moduleFile' },
    plugins: [{ name: 'places', setup: keepPlaces }],
    // Tests import files for what they do, whatever their package says of its own.
    ignoreAnnotations: true,
    logLevel: 'warning',
  });
  esbuild.stop();
}

/** Modules look for fixtures, native code and programs beside themselves: each keeps its own URL. */
function keepPlaces(build) {
  build.onLoad({ filter: /\.[cm]?[jt]s$/ }, ({ path: file }) => {
    const contents = readFileSync(file, 'utf8');
    if (!contents.includes('import.meta.')) return undefined;
    const constants = { __moduleUrl: pathToFileURL(file).href, __moduleDir: path.dirname(file), __moduleFile: file };
    const head = Object.entries(constants)
      .map(([name, value]) => `const ${name} = ${JSON.stringify(value)};`)
      .join('');
    // In the first line, so that the others keep their numbers.
    return { contents: `${head}${contents}`, loader: file.endsWith('ts') ? 'ts' : 'js' };
  });
}

function tests(folder) {
  return readdirSync(path.join(root, folder), { recursive: true })
    .filter((name) => name.endsWith('.test.ts') && !NOT_BUNDLED.test(name))
    .map((name) => path.join(folder, name))
    .sort();
}
