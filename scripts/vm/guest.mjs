// Runs a script in the test machine: a folder for the run, what the machine reads from it, the exit status that comes back.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { root, tools } from '../setup.mjs';
import { find } from '../tools.mjs';
import { writeInitramfs } from './initramfs.mjs';
import { makeDisk, startMachine } from './machine.mjs';

const cache = path.join(tools, 'vm');

/** A word as the shell reads it back. */
export const quote = (word) => `'${String(word).replaceAll("'", "'\\''")}'`;

/**
 * Makes the folder of a run and removes it after `work`. What lies in its `share` is /vm/share in the machine, for reading and writing.
 * Not in the system's temporary directory: the leak checks of tests that run outside meanwhile would see it come and go.
 */
export async function withRunFolder(work) {
  removeStale();
  const folder = path.join(cache, `run-${process.pid}`);
  mkdirSync(path.join(folder, 'share'), { recursive: true });
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Folders of runs that were killed. */
function removeStale() {
  if (!existsSync(cache)) return;
  for (const name of readdirSync(cache)) {
    const pid = /^run-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(path.join(cache, name), { recursive: true, force: true });
  }
}

/**
 * Boots, runs `script` (shell, in the checkout), powers off. `shell: true` gives it the terminal; else `output` gets what it prints.
 * With `systemd: true` the script is run by a service of systemd.
 * Returns { status }, the exit status of the script, or { failure, late }: why the machine ended without one, and whether its seconds were up.
 */
export async function boot(folder, { kernel, script, env = {}, systemd = false, shell = false, seconds, nice = 0, output = () => {} }) {
  const share = path.join(folder, 'share');
  // Of a machine that ran in this folder before.
  for (const name of ['share/status', 'console.log']) rmSync(path.join(folder, name), { force: true });
  await makeDisk(path.join(folder, 'disk.img'));
  writeInitramfs(path.join(folder, 'initramfs.cpio'), { busybox: find('busybox'), modulesDir: kernel.modulesDir });
  writeFileSync(path.join(share, 'boot.sh'), readFileSync(new URL('./guest/boot.sh', import.meta.url)));
  writeFileSync(path.join(share, 'environment'), exports({ ...environment(), ...env, ...settings(kernel, shell, systemd) }));
  writeFileSync(path.join(share, 'command'), `mkdir -p -m 700 "$XDG_RUNTIME_DIR"\ncd ${quote(root)} || exit\n${script}\n`);
  const { end, errors, late } = await runMachine({ kernel, folder, shell, nice }, seconds, output);
  const statusFile = path.join(share, 'status');
  if (existsSync(statusFile)) return { status: Number(readFileSync(statusFile, 'utf8')) };
  return { failure: explain(end, errors, path.join(folder, 'console.log')), late };
}

/** What a script in the machine keeps of our environment: how to run, nothing that is secret and no folders of ours. */
function environment() {
  const kept = Object.entries(process.env).filter(([k]) =>
    /^(PATH|CI|NO_COLOR|FORCE_COLOR|TERM|LANG|LC_\w+|NODE_OPTIONS|CTR_(?!ROOT$|RUN$|COUNT_FILE$|SKIP_LOG$)\w+)$/.test(k),
  );
  const own = { HOME: '/root', USER: 'root', LOGNAME: 'root', SHELL: '/bin/sh', TMPDIR: '/vm/tmp', XDG_RUNTIME_DIR: '/run/user/0' };
  return { ...Object.fromEntries(kept), ...own };
}

/** What boot.sh wants to know. */
function settings(kernel, shell, systemd) {
  const { columns = 80, rows = 24 } = process.stdout;
  return {
    CTR_VM: '1',
    CTR_VM_MODULES: kernel.modulesDir,
    CTR_VM_SYSTEMD: systemd ? '1' : '',
    CTR_VM_SHELL: shell ? `cols ${columns} rows ${rows}` : '',
  };
}

const exports = (env) =>
  Object.entries(env)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `export ${name}=${quote(value)}\n`)
    .join('');

/** Runs qemu to its end, at most `seconds`; a signal that ends us ends the machine first. */
async function runMachine(options, seconds, output) {
  const child = startMachine(options);
  let late = false;
  const stop = () => child.kill('SIGTERM');
  const guard = seconds && setTimeout(() => (late = child.kill('SIGKILL')), seconds * 1000);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const name of signals) process.on(name, stop);
  let errors = '';
  child.stdout?.on('data', output);
  child.stderr?.on('data', (c) => {
    errors += c;
  });
  const end = await new Promise((resolve) => {
    child.on('error', (e) => resolve(e.message));
    child.on('close', (code, signal) => resolve(signal ?? code));
  });
  clearTimeout(guard);
  for (const name of signals) process.off(name, stop);
  return { end: late ? `stopped after ${Math.round(seconds)} s` : `qemu: ${end}`, errors, late };
}

/** Why a machine ended without a status: what qemu said, and the last lines of the console. */
function explain(end, errors, log) {
  const console = existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n').slice(-30).join('\n') : '';
  return [`the test machine ended without a result (${end})`, errors.trim(), console].filter(Boolean).join('\n');
}
