// Runs as a Node of its own: starts three containers, says "ready", waits for a line, and ends as it is told. argv: ROOTFS WAY [MS]
import { runContainer } from '@ctr/runtime';

const [rootfs, way, ms] = process.argv.slice(2);
const start = () => runContainer({ rootfs, command: ['/bin/sleep', '1000'], stdout: 'ignore', stderr: 'ignore', writable: 'disk' });
const running = await Promise.all([start(), start(), start()]);
process.stdout.write(`ready ${JSON.stringify(running.map((c) => c.pid))}\n`);
await new Promise((resolve) => process.stdin.once('data', resolve));

const WAYS = {
  'heap out of memory': () => {
    const all = [];
    for (;;) all.push(new Array(1e6).fill(all.length));
  },
  'uncaught exception in a callback': () => setImmediate(() => nowhere()),
  'unhandled rejection': () => void Promise.reject(new Error('on purpose')),
  'exit in a callback': () =>
    running[0]
      .exec(['/bin/true'])
      .result()
      .then(() => process.exit(0)),
  'process.reallyExit': () => process.reallyExit(0),
  SIGSEGV: () => process.kill(process.pid, 'SIGSEGV'),
  SIGABRT: () => process.abort(),
  'in the middle of starts': () => {
    for (let i = 0; i < 20; i++) void start().then();
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), Number(ms));
  },
};
WAYS[way]();
