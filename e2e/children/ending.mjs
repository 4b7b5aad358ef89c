// Runs as a Node of its own: starts three containers and ends in the way that is asked for. argv: ROOTFS WAY
import { runContainer } from '@ctr/runtime';

const [rootfs, way] = process.argv.slice(2);
const running = await Promise.all(
  Array.from({ length: 3 }, () => runContainer({ rootfs, command: ['/bin/sleep', '1000'], stdout: 'ignore', stderr: 'ignore' })),
);
process.stdout.write(`ready ${JSON.stringify(running.map((c) => c.pid))}\n`);
await new Promise((resolve) => process.stdin.once('data', resolve));

if (way === 'exit') process.exit(0);
if (way === 'throw') throw new Error('on purpose');
if (way === 'abort') process.abort();
if (way === 'dispose') {
  for (const c of running) await c[Symbol.asyncDispose]();
  process.exit(0);
}
