// npm test: sets up, builds, checks types and style, then runs all tests: as root, once more as an ordinary user when we are root, and
// in the test machine beside both. The last line of stdout is "N passed, N failed, N skipped" over everything; the exit code is 0 only
// when nothing failed. npm test -- [--as=root|user|vm] [vitest filters …]
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { StepFailed, say, step } from './progress.mjs';
import { root, setup, turbo } from './setup.mjs';
import { explainSkips, skipReasons, Tally } from './tally.mjs';
import { requirements } from './vm/requirements.mjs';
import { vmSuite } from './vm/suite.mjs';

const began = Date.now();
const USER = 65534;
/** Seconds; a native call that blocks is never timed out by vitest itself. */
const GUARD = '1500';
/** Seconds after which the test machine begins no more tests, counted from our start: all of CI has 15 minutes. */
const MACHINE_ENDS = 690;
const isRoot = process.getuid?.() === 0;
const args = process.argv.slice(2).filter((a) => !a.startsWith('--as='));
const only = process.argv.find((a) => a.startsWith('--as='))?.slice(5);
const tally = new Tally();
const scratch = mkdtempSync(path.join(tmpdir(), 'ctr-run-'));
chmodSync(scratch, 0o711);

process.on('exit', () => {
  rmSync(scratch, { recursive: true, force: true });
  process.stdout.write(`${tally.line}\n`);
});

/** A check that fails counts as one failure and does not hide what the tests say. */
async function check(work) {
  try {
    await work();
    return true;
  } catch (error) {
    tally.fail(error instanceof StepFailed ? error.message : String(error?.stack ?? error));
    return false;
  }
}

/** The suite in two runs: units and kernel tests side by side, then the promises one after the other, since they watch the whole host. */
async function suite(title, prefix, env) {
  if (args.length > 0) return await run(title, prefix, env, ['--no-file-parallelism', ...args]);
  const others = ['packages/**', 'internal/**'].flatMap((glob) => ['--exclude', glob]);
  return [
    ...(await run(`${title}: units and kernel`, prefix, env, ['--exclude', 'e2e/**'])),
    ...(await run(`${title}: end to end`, prefix, env, ['--no-file-parallelism', ...others])),
  ];
}

let runs = 0;
let interrupted = false;

/** One run of vitest; `prefix` is the command that changes the user, `env` what that user has of his own. Returns the reasons of its skips. */
async function run(title, prefix, env, options) {
  if (interrupted) return [];
  say(`\n${title}`);
  const scratchFile = (name) => path.join(env.TMPDIR ?? scratch, `${name}-${runs}`);
  const files = { CTR_COUNT_FILE: scratchFile('counts'), CTR_SKIP_LOG: scratchFile('skips') };
  const reporters = ['--reporter=default', '--reporter=./scripts/closing-line.mjs'];
  // An ordinary user cannot write reports into root's checkout.
  if (process.env.CI && prefix.length === 0) reporters.push('--reporter=junit', `--outputFile.junit=reports/junit-${runs}.xml`);
  runs += 1;
  const vitest = [
    process.execPath,
    path.join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--configLoader=runner',
    ...reporters,
    ...options,
  ];
  const status = await guarded([...prefix, ...vitest], { ...process.env, ...env, ...files });
  tally.add(files.CTR_COUNT_FILE, status, status === 124 ? `the tests were stopped after ${GUARD} s` : undefined);
  return skipReasons(files.CTR_SKIP_LOG);
}

async function guarded(command, env) {
  const child = spawn('timeout', ['-k', '10', GUARD, ...command], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env });
  // `timeout` has a process group of its own, which a terminal's Ctrl-C does not reach.
  const stop = () => {
    interrupted = true;
    child.kill('SIGTERM');
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const name of signals) process.on(name, stop);
  const status = await new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? signal)));
  for (const name of signals) process.off(name, stop);
  return status;
}

/** uid 65534 with a home, a temporary and a runtime directory of its own; false when it cannot read this checkout. */
function ordinaryUser() {
  const prefix = ['setpriv', '--reuid', String(USER), '--regid', String(USER), '--clear-groups', '--'];
  const readable = spawnSync(
    prefix[0],
    [...prefix.slice(1), process.execPath, '-e', 'require("node:fs").readdirSync("packages/runtime/dist")'],
    { cwd: root },
  );
  if (readable.status !== 0) return undefined;
  const home = path.join(scratch, 'user');
  const env = { HOME: home, TMPDIR: path.join(home, 't'), XDG_RUNTIME_DIR: path.join(home, 'run'), USER: 'nobody', LOGNAME: 'nobody' };
  for (const name of ['XDG_CACHE_HOME', 'XDG_DATA_HOME', 'XDG_CONFIG_HOME', 'XDG_STATE_HOME']) env[name] = undefined;
  env.CTR_REQUIRE = process.env.CTR_REQUIRE_USER ?? '';
  for (const dir of [home, env.TMPDIR, env.XDG_RUNTIME_DIR]) {
    mkdirSync(dir, { mode: 0o700 });
    chownSync(dir, USER, USER);
  }
  return { prefix, env };
}

async function asUser() {
  const user = ordinaryUser();
  if (user === undefined) {
    if ((process.env.CTR_REQUIRE_USER ?? '') !== '')
      await check(() => Promise.reject(new StepFailed('an ordinary user cannot read this checkout, so the rootless tests cannot run')));
    else say('\nNot run as an ordinary user: user 65534 cannot read this checkout; clone it to a place that others may read.');
    return;
  }
  const skips = await suite(`Tests as an ordinary user (uid ${USER})`, user.prefix, user.env);
  explainSkips('as an ordinary user', skips, /^needs (root|overlay|mknod):/);
}

/** The suite of scripts/vm. Beside other tests it gives way to them, ends in time, and its output is kept. Returns its end. */
async function inMachine(kernel) {
  const printed = [];
  const beside = only !== 'vm';
  const limits = beside ? { nice: 10, deadline: began + MACHINE_ENDS * 1000, output: (chunk) => printed.push(chunk) } : {};
  try {
    await vmSuite(kernel, tally, { filters: args, ...limits });
  } catch (error) {
    tally.fail(String(error?.stack ?? error));
  }
  return () => process.stdout.write(Buffer.concat(printed));
}

/** Starts the machine's tests when they are wanted: in CI, or when asked for. It takes what the other tests leave of two processors. */
async function startMachine() {
  const wanted = only === 'vm' || (only === undefined && args.length === 0 && (process.env.CTR_VM ?? (process.env.CI ? '1' : '0')) === '1');
  if (!wanted && only === undefined) say('\nNot run in the test machine (Linux 6.1, unified cgroup v2): pnpm test:vm does, or CTR_VM=1.');
  const { kernel, reason } = wanted ? await requirements() : {};
  if (reason !== undefined) tally.missing('vm', reason);
  return kernel === undefined ? undefined : inMachine(kernel);
}

const ready = await check(() => setup('test'));
if (ready) {
  await check(() => turbo('build and check the types', ['build', 'typecheck']));
  if (existsSync('e2e/tsconfig.json'))
    await check(() => step('check the types of the end-to-end tests', 'tsc', ['-p', 'e2e/tsconfig.json']));
  await check(() =>
    step('check format and style', 'biome', [process.env.CI ? 'ci' : 'check', '.'], { cure: '"npm run format" repairs most of it.' }),
  );
  const machine = startMachine().catch((error) => tally.fail(String(error?.stack ?? error)));
  if ((only ?? 'root') === 'root')
    explainSkips(
      isRoot ? 'as root' : 'as this user',
      await suite(`Tests as ${isRoot ? 'root' : 'this user'}`, [], {}),
      /^needs ordinary-user:/,
    );
  if (isRoot && (only ?? 'user') === 'user') await asUser();
  (await machine)?.();
}
