// Runs as a Node of its own: starts N containers that stay, says "ready", and waits to be killed. With --loop it goes on starting
// and ending containers for ever. argv: ROOTFS N [--loop]
import { runContainer } from '@ctr/runtime';

const [rootfs, count, loop] = process.argv.slice(2);
const start = (seconds) => runContainer({ rootfs, command: ['/bin/sleep', String(seconds)], stdout: 'ignore', stderr: 'ignore' });

const running = await Promise.all(Array.from({ length: Number(count) }, () => start(1000)));
process.stdout.write(`ready ${JSON.stringify(running.map((c) => c.pid))}\n`);
while (loop === '--loop') await Promise.all(Array.from({ length: 4 }, () => start(0).result()));
setInterval(() => {}, 1000);
