// Runs a long command quietly: one line while it works and one when it is done; its output is shown only when it fails.
import { spawn } from 'node:child_process';

const tty = process.stderr.isTTY === true && !process.env.CI;
const seconds = (since) => ((performance.now() - since) / 1000).toFixed(1);

/** The command failed: its output was printed already, the message holds the cure. */
export class StepFailed extends Error {}

/** Says one line of progress on stderr, so that stdout stays the program's own. */
export function say(text) {
  process.stderr.write(`${text}\n`);
}

/**
 * Runs `command args` under the heading `what`. Rejects with StepFailed when it exits with anything but 0.
 * `cure` is what a person can do about a failure.
 */
export async function step(what, command, args, { cwd, env, cure } = {}) {
  const started = performance.now();
  const draw = () => process.stderr.write(`\r\x1b[K  ${what} … ${seconds(started)} s`);
  const timer = tty ? setInterval(draw, 200) : setInterval(() => say(`  ${what} … ${seconds(started)} s`), 15_000);
  if (tty) draw();
  const chunks = [];
  const status = await new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.on('data', (c) => chunks.push(c));
    child.stderr.on('data', (c) => chunks.push(c));
    child.on('error', (e) => resolve(e.message));
    child.on('close', (code, signal) => resolve(code ?? signal));
  });
  clearInterval(timer);
  if (tty) process.stderr.write('\r\x1b[K');
  if (status === 0) {
    say(`  ${what}: done (${seconds(started)} s)`);
    return Buffer.concat(chunks).toString();
  }
  const output = Buffer.concat(chunks).toString().trimEnd().split('\n').slice(-60).join('\n');
  throw new StepFailed(`${what} failed (${status}): ${command} ${args.join(' ')}\n${output}${cure ? `\n\n${cure}` : ''}`);
}
