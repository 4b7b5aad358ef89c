// npm test: sets up, builds, checks types and style, and runs all tests: as root, as an ordinary user too when we are root, and in the
// test machine beside both. The last line of stdout is "N passed, N failed, N skipped" over everything; the exit code is 0 only
// when nothing failed. npm test -- [--as=root|user|vm] [vitest filters …]
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lanes } from './lanes.mjs';
import { StepFailed, say, step } from './progress.mjs';
import { root, setup } from './setup.mjs';
import { explainSkips, skipReasons, Tally } from './tally.mjs';
import { requirements } from './vm/requirements.mjs';
import { vmSuite } from './vm/suite.mjs';

const began = Date.now();
const USER = 65534;
/** Seconds; a native call that blocks is never timed out by vitest itself. */
const GUARD = '1500';
/** For nice: below the tests that measure, above the test machine. */
const LOW = ['-n', '3'];
/** Seconds after which the test machine begins no more tests, counted from our start: all of CI has 15 minutes. */
const MACHINE_ENDS = 600;
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

/**
 * The suite for each of `people`, in three lanes (lanes.mjs): what looks at its own files only runs beside the kernel tests, and its output is
 * shown when it has ended; the promises come last, one after the other, since they watch the whole host.
 */
async function suite(people) {
  if (args.length > 0) {
    await checkTypes();
    for (const p of people) p.skips.push(...(await run(p.title, p, ['--no-file-parallelism', ...args])));
    return;
  }
  const apart = beside(people);
  for (const [i, p] of people.entries()) p.skips.push(...(await run(`${p.title}: kernel`, p, lanes(i === 0).kernel)));
  process.stdout.write(await apart);
  for (const [i, p] of people.entries()) p.skips.push(...(await run(`${p.title}: end to end`, p, lanes(i === 0).promises)));
}

/** The lane apart, for one user after the other, behind the check of the types; returns what it printed. */
async function beside(people) {
  await checkTypes();
  const printed = [];
  for (const [i, p] of people.entries()) {
    const low = { ...p, prefix: ['nice', ...LOW, ...p.prefix] };
    p.skips.push(...(await run(`${p.title}: files, formats and registries`, low, lanes(i === 0).apart, (chunk) => printed.push(chunk))));
  }
  return Buffer.concat(printed);
}

/** Types; at a low priority, like all that runs beside the kernel tests. */
async function checkTypes() {
  // Only this: what it depends on is built, and nothing may be written again while tests read it.
  const all = ['run', 'typecheck', '--only', '--output-logs=errors-only', '--concurrency=1'];
  await check(() => step('check the types', 'nice', [...LOW, 'turbo', ...all]));
  if (existsSync('e2e/tsconfig.json'))
    await check(() => step('check the types of the end-to-end tests', 'nice', [...LOW, 'tsc', '-p', 'e2e/tsconfig.json']));
}

let runs = 0;
let interrupted = false;

/**
 * One run of vitest; `prefix` is the command that changes the user, `env` what that user has of his own. `output` gets what is printed,
 * stdout where there is none. Returns the reasons of its skips.
 */
async function run(title, { prefix, env }, options, output) {
  if (interrupted) return [];
  say(`\n${title}`);
  const number = runs;
  const scratchFile = (name) => path.join(env.TMPDIR ?? scratch, `${name}-${number}`);
  const files = { CTR_COUNT_FILE: scratchFile('counts'), CTR_SKIP_LOG: scratchFile('skips') };
  const reporters = ['--reporter=default', '--reporter=./scripts/closing-line.mjs'];
  // An ordinary user cannot write reports into root's checkout.
  if (process.env.CI && !prefix.includes('setpriv')) reporters.push('--reporter=junit', `--outputFile.junit=reports/junit-${runs}.xml`);
  runs += 1;
  const vitest = [
    process.execPath,
    path.join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--configLoader=runner',
    ...reporters,
    ...options,
  ];
  const status = await guarded([...prefix, ...vitest], { ...process.env, ...env, ...files }, output);
  tally.add(files.CTR_COUNT_FILE, status, status === 124 ? `the tests were stopped after ${GUARD} s` : undefined);
  return skipReasons(files.CTR_SKIP_LOG);
}

async function guarded(command, env, output) {
  const out = output ? 'pipe' : 'inherit';
  const child = spawn('timeout', ['-k', '10', GUARD, ...command], { cwd: root, stdio: ['ignore', out, out], env });
  const closed = once(child, 'close');
  child.stdout?.on('data', output);
  child.stderr?.on('data', output);
  // `timeout` has a process group of its own, which a terminal's Ctrl-C does not reach.
  const stop = () => {
    interrupted = true;
    child.kill('SIGTERM');
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const name of signals) process.on(name, stop);
  const status = await new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? signal)));
  // What is in the pipes still; not for ever, since somebody else may hold their other end.
  if (output) await Promise.race([closed, sleep(2000)]);
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

/** Who runs the suite: we, and where we are root an ordinary user too. `covered`: needs that somebody else has. */
async function whoRuns() {
  const people = [];
  const title = `Tests as ${isRoot ? 'root' : 'this user'}`;
  if ((only ?? 'root') === 'root')
    people.push({ who: isRoot ? 'as root' : 'as this user', title, prefix: [], env: {}, skips: [], covered: /^needs ordinary-user:/ });
  if (!isRoot || (only ?? 'user') !== 'user') return people;
  const user = ordinaryUser();
  if (user !== undefined)
    people.push({
      ...{ who: 'as an ordinary user', title: `Tests as an ordinary user (uid ${USER})`, ...user, skips: [] },
      covered: /^needs (root|overlay|mknod):/,
    });
  else if ((process.env.CTR_REQUIRE_USER ?? '') !== '')
    await check(() => Promise.reject(new StepFailed('an ordinary user cannot read this checkout, so the rootless tests cannot run')));
  else say('\nNot run as an ordinary user: user 65534 cannot read this checkout; clone it to a place that others may read.');
  return people;
}

/** The suite of scripts/vm. Beside other tests it gives way to them, ends in time, and its output is kept. Returns its end. */
async function inMachine(kernel) {
  const printed = [];
  const beside = only !== 'vm';
  // Far below the others, at 0 and 3: both of its processors are busy, and whoever waits for the end of the tests waits for those.
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

if (await check(() => setup('test'))) {
  await check(() =>
    step('check format and style', 'biome', [process.env.CI ? 'ci' : 'check', '.'], { cure: '"npm run format" repairs most of it.' }),
  );
  const machine = startMachine().catch((error) => tally.fail(String(error?.stack ?? error)));
  const people = await whoRuns();
  await suite(people);
  for (const { who, skips, covered } of people) explainSkips(who, skips, covered);
  (await machine)?.();
}
