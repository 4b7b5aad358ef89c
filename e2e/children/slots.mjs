// Runs as a Node of its own: starts N containers in which processes wait for exec(), says "ready" with all their pids, and waits to be killed.
// argv: ROOTFS N
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { runContainer } from '@ctr/runtime';

const [rootfs, count] = process.argv.slice(2);
const SLOTS = 2;

async function start() {
  const options = { rootfs, command: ['/bin/sleep', '1000'], stdout: 'ignore', stderr: 'ignore', execSlots: SLOTS };
  const box = await runContainer(options);
  await box.exec(['/bin/true']).result();
  return box;
}

/** Of this Node alone: their parent is that of its containers. */
function waiting(box) {
  const parent = (pid) => /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  const monitor = parent(box.pid);
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/comm`, 'utf8') === 'ctr-parked\n' && parent(pid) === monitor;
    } catch {
      return false;
    }
  });
}

const running = await Promise.all(Array.from({ length: Number(count) }, start));
while (waiting(running[0]).length < running.length * SLOTS) await sleep(10);
const pids = [...running.map((c) => c.pid), ...waiting(running[0]).map(Number)];
process.stdout.write(`ready ${JSON.stringify(pids)}\n`);
setInterval(() => {}, 1000);
