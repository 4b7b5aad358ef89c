// pnpm test:vm [--systemd | --user] [--shell | --run=COMMAND | [--] vitest arguments …]: tests, a command or a shell on Debian's 6.1 kernel
// with unified cgroup v2, in qemu; with --systemd as process 1, or the tests by its ordinary user. Without arguments the tests of all
// packages that ask the kernel something. See docs/guides/vm.md.
import { StepFailed, say } from '../progress.mjs';
import { setup } from '../setup.mjs';
import { Tally } from '../tally.mjs';
import { boot, withRunFolder } from './guest.mjs';
import { requirements, withoutSystemd } from './requirements.mjs';
import { vmSuite } from './suite.mjs';

// pnpm hands the first "--" on, npm does not.
const given = process.argv.slice(2);
const args = given.filter((a, i) => !(a === '--' && i === given.indexOf('--')));
const shell = args.includes('--shell');
const systemd = args.includes('--systemd');
const user = args.includes('--user');
const filters = args.filter((a) => a !== '--systemd' && a !== '--user');
const command = args.find((a) => a.startsWith('--run='))?.slice('--run='.length);

async function main() {
  await setup('vm');
  const { kernel, reason } = await requirements();
  const unfit = systemd ? withoutSystemd() : undefined;
  if (unfit !== undefined) throw new StepFailed(unfit);
  if (user && (systemd || filters.length === 0)) throw new StepFailed('--user is for test files that are named, and not with --systemd');
  if (shell || command !== undefined) {
    if (kernel === undefined) throw new StepFailed(reason);
    process.exitCode = await runScript(kernel);
    return;
  }
  const tally = new Tally();
  process.on('exit', () => process.stdout.write(`${tally.line}\n`));
  if (kernel === undefined) tally.missing('vm', reason);
  else await vmSuite(kernel, tally, { filters, systemd, user, deadline: deadline() }).catch((error) => tally.fail(error.stack));
}

/** CTR_VM_SECONDS from now; none when it is not set. */
function deadline() {
  const seconds = Number(process.env.CTR_VM_SECONDS ?? 0);
  return seconds > 0 ? Date.now() + seconds * 1000 : undefined;
}

/** A shell or a command: its exit status is ours. */
async function runScript(kernel) {
  const script = command ?? 'exec "$(command -v bash || command -v sh)" -i';
  const result = await withRunFolder((folder) => boot(folder, { kernel, script, systemd, shell, output: (c) => process.stdout.write(c) }));
  if (result.failure !== undefined) throw new StepFailed(result.failure);
  return result.status;
}

await main().catch((error) => {
  say(error instanceof StepFailed ? error.message : String(error?.stack ?? error));
  process.exitCode = 1;
});
