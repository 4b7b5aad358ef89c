// From a fresh checkout to built packages: checks the tools, installs the pinned pnpm into .tools/, the dependencies, and builds.
// Does nothing, in well under a second, when all of it is there. Used by start and test; by hand: npm run setup [-- --for=start|test|vm].
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { StepFailed, say, step } from './progress.mjs';
import { ensureTools, find } from './tools.mjs';

export const root = path.resolve(fileURLToPath(import.meta.url), '..', '..');
export const tools = path.join(root, '.tools');
const stampFile = path.join(root, '.cache', 'setup.json');
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));

/** Sets up for `start` (build only), `test` or `vm` (and what those tests need). Changes PATH, so that pnpm and the tools are found. */
export async function setup(purpose = 'start') {
  process.chdir(root);
  process.env.PATH = [path.join(tools, 'bin'), path.join(root, 'node_modules', '.bin'), process.env.PATH].join(':');
  process.env.TURBO_TELEMETRY_DISABLED = '1';
  checkNode();
  await ensureTools(purpose);
  const now = { dependencies: dependencyHash(), sources: sourceHash() };
  const stamp = readStamp();
  if (stamp.dependencies !== now.dependencies || !existsSync('node_modules/.bin/turbo')) await installDependencies();
  if (stamp.sources !== now.sources || !isBuilt()) await build();
  if (stamp.dependencies === now.dependencies && stamp.sources === now.sources) return;
  mkdirSync(path.dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, JSON.stringify(now));
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new StepFailed(`Node ${process.versions.node} is too old: 20.19 or newer is needed (https://nodejs.org, or "nvm install 20")`);
}

async function installDependencies() {
  const pin = manifest.packageManager.split('+')[0];
  const there = path.join(tools, 'lib/node_modules/pnpm/package.json');
  const version = existsSync(there) ? JSON.parse(readFileSync(there, 'utf8')).version : undefined;
  const cure = 'Is the package registry reachable? "npm ping" tells. Behind a proxy npm needs its settings: npm config list';
  if (`pnpm@${version}` !== pin) {
    if (!find('npm')) throw new StepFailed('npm is missing: it comes with Node; on Debian: apt-get install npm');
    await step(
      `install ${pin} into .tools`,
      'npm',
      ['install', '--silent', '--no-fund', '--no-audit', '--global', '--prefix', tools, pin],
      { cure },
    );
  }
  await step('install the dependencies', 'pnpm', ['install', '--frozen-lockfile', '--config.confirmModulesPurge=false'], { cure });
}

async function build() {
  await turbo('build the packages', ['build']);
}

/** Runs turbo tasks; what was built before comes from its cache. */
export async function turbo(what, tasks) {
  const args = ['run', ...tasks, '--output-logs=errors-only', '--concurrency=3'];
  await step(what, 'turbo', args, { cure: 'The first error above is the cause; "npm run build" repeats the build alone.' });
}

function isBuilt() {
  const packages = readdirSync('packages')
    .map((p) => path.join('packages', p))
    .filter((p) => existsSync(path.join(p, 'package.json')));
  const native = packages.filter((p) => existsSync(path.join(p, 'native/binding.gyp')));
  return (
    packages.every((p) => existsSync(path.join(p, 'dist/index.js'))) &&
    native.every((p) => existsSync(path.join(p, 'native/build/Release')))
  );
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, 'utf8'));
  } catch {
    return {};
  }
}

const add = (hash, file) => hash.update(file).update('\0').update(readFileSync(file)).update('\0');

/** What decides which dependencies are installed. */
function dependencyHash() {
  const hash = createHash('sha256').update(`${process.version} ${process.arch}`);
  const manifests = ['packages', 'examples'].flatMap((d) =>
    existsSync(d) ? readdirSync(d).map((p) => path.join(d, p, 'package.json')) : [],
  );
  for (const f of ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', 'internal/package.json', ...manifests])
    if (existsSync(f)) add(hash, f);
  return hash.digest('hex');
}

/** What decides how the packages are built. */
function sourceHash() {
  const hash = createHash('sha256').update(`${process.version} ${process.arch}`);
  for (const f of ['tsconfig.base.json', 'tsup.shared.ts', 'turbo.json', 'scripts/native-build.mjs']) add(hash, f);
  for (const f of [...files('internal'), ...files('packages')]) add(hash, f);
  return hash.digest('hex');
}

const SKIP = new Set(['node_modules', 'dist', 'build', 'prebuilds', '.turbo', 'test', 'coverage', 'testing']);

function files(dir) {
  return readdirSync(dir, { withFileTypes: true })
    .filter((e) => !SKIP.has(e.name) && !e.name.endsWith('.test.ts') && !e.name.endsWith('.md'))
    .flatMap((e) => (e.isDirectory() ? files(path.join(dir, e.name)) : e.isFile() ? [path.join(dir, e.name)] : []))
    .sort();
}

/** Prints a failure once, without a stack, and ends the process. */
export function fail(error) {
  say(error instanceof StepFailed ? `\n${error.message}` : error);
  process.exit(1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const purpose = process.argv.find((a) => a.startsWith('--for='))?.slice(6) ?? 'start';
  await setup(purpose).catch(fail);
}
