// Runs as a worker thread. workerData: { rootfs, keep }: with keep it leaves a container running.
import { parentPort, workerData } from 'node:worker_threads';
import { runContainer } from '@ctr/runtime';

const text = await runContainer({ rootfs: workerData.rootfs, command: ['/bin/echo', 'from a worker'] }).text();
const box = workerData.keep ? await runContainer({ rootfs: workerData.rootfs, command: ['/bin/sleep', '1000'] }) : undefined;
parentPort.postMessage({ text, pid: box?.pid });
if (box) await box.exited;
