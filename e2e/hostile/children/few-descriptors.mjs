// Runs as a Node of its own with ever fewer descriptors left: starts a container with each number. argv: ROOTFS MOST. Prints what came
// of it for each, and the descriptors that were open before and after.
import { closeSync, openSync, readdirSync } from 'node:fs';
import { runContainer } from '@ctr/runtime';

const [rootfs, most] = process.argv.slice(2);
const start = () => runContainer({ rootfs, command: ['/inside/true'], stdout: 'ignore', stderr: 'ignore' }).result();
// Everything that is loaded or opened once.
await start();
await start().catch(() => {});
await runContainer({ rootfs, command: ['/bin/nothing'] })
  .result()
  .catch((e) => String(e.stack));
const count = () => readdirSync('/proc/self/fd').length;
const before = count();
const outcomes = [];
for (let left = 0; left <= Number(most); left++) {
  const held = [];
  try {
    for (;;) held.push(openSync('/dev/null', 'r'));
  } catch {
    for (let i = 0; i < left; i++) closeSync(held.pop());
  }
  const outcome = await start().then(
    (r) => `exit ${r.exitCode}`,
    (e) => `${e.name} ${e.code ?? ''} ${/EMFILE|ENFILE/.test(String(e.message)) ? 'EMFILE' : e.message}`,
  );
  for (const fd of held) closeSync(fd);
  outcomes.push(outcome);
}
// What the runtime still closes in its own time.
await start();
let after = count();
for (const end = performance.now() + 20_000; after > before && performance.now() < end; after = count())
  await new Promise((resolve) => setTimeout(resolve, 20));
// Counted first: to write to process.stdout opens one more.
process.stdout.write(JSON.stringify({ before, after, outcomes }));
