// Runs as a Node of its own: starts containers from its main thread and from workers that end in each way, while libuv's threads are
// busy. argv: ROOTFS. Says "ready" with the main thread's processes and those of the workers, and waits to be killed.
import { pbkdf2 } from 'node:crypto';
import { lookup } from 'node:dns';
import { stat } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { runContainer } from '@ctr/runtime';

const rootfs = isMainThread ? process.argv[2] : workerData.rootfs;
const start = () => runContainer({ rootfs, command: ['/bin/sleep', '1000'], stdout: 'ignore', stderr: 'ignore' });

async function worker() {
  parentPort.postMessage((await start()).pid);
  if (workerData.way === 'exit') process.exit(0);
  if (workerData.way === 'throw') throw new Error('on purpose');
  await new Promise(() => {});
}

/** The process that the worker started; resolves when the worker has ended. */
async function inWorker(way) {
  const thread = new Worker(fileURLToPath(import.meta.url), { workerData: { rootfs, way } });
  const ended = new Promise((resolve) => thread.once('error', () => {}).once('exit', resolve));
  const pid = await new Promise((resolve) => thread.once('message', resolve));
  if (way === 'terminate') await thread.terminate();
  await ended;
  return pid;
}

/** Callers come from threads of the pool: the kernel's and libuv's work is done there, JavaScript always runs on its own thread. */
const fromPool = () =>
  Promise.all(
    [(done) => pbkdf2('a', 'b', 20_000, 64, 'sha512', done), (done) => stat('/', done), (done) => lookup('localhost', done)].map((work) =>
      new Promise((resolve) => work(() => resolve(start()))).then((box) => box.pid),
    ),
  );

async function main() {
  // The first monitor is a worker's.
  const lost = [await inWorker('exit')];
  const kept = [(await start()).pid];
  const all = await Promise.all(['terminate', 'exit', 'throw', 'terminate'].map(inWorker).concat(fromPool()));
  lost.push(...all.slice(0, 4));
  kept.push(...all[4]);
  kept.push((await start()).pid);
  process.stdout.write(`ready ${JSON.stringify({ kept, lost })}\n`);
  setInterval(() => {}, 1000);
}

await (isMainThread ? main() : worker());
