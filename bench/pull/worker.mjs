// Pulls one image as a program of a few lines would: worker.mjs STORE REFERENCE FORM SYNC [MORE [GZIP]]. Prints what it cost as one line of JSON.
import { readFileSync, rmSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { ImageStore } from '../../packages/image/dist/index.js';
import { LayerMounts, layerSink, mountOverlay } from '../../packages/overlayfs/dist/index.js';

// MORE: nothing, "mounted" to count the mount of a root too, "again" to pull again when all is there. GZIP: "zlib" or "isa-l"; nothing for the best.
const [root, reference, form, sync, mounted, gzip] = process.argv.slice(2);
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const began = performance.now();
const cpuBefore = process.cpuUsage();
const store = await ImageStore.open({ root });
const sink = layerSink({ form, userxattr: false, sync: sync === 'sync', ...(gzip && { gzip }) });
const image = await store.pull(reference, { auth: false, sink });
const layers = await store.unpack(image, sink);
const pulled = performance.now();
if (mounted === 'mounted') {
  // Ready to exec: what a container's root needs besides.
  const mounts = new LayerMounts();
  const lower = form === 'erofs' ? await mounts.paths(layers) : layers;
  (await mountOverlay({ lower })).close();
}
const ended = performance.now();
delay.disable();
const cpu = process.cpuUsage(cpuBefore);
const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
// What is there already is asked for again, in a run of its own: the clock of a pull does not count it.
let warm;
let noop;
let inProcess;
if (mounted === 'again') {
  const median = async (options) => {
    const times = [];
    for (let i = 0; i < 21; i++) {
      const before = performance.now();
      await store.pull(reference, { auth: false, sink, ...options });
      times.push(performance.now() - before);
    }
    return times.sort((x, y) => x - y)[10];
  };
  // As a program that runs for long sees a pull: its code is warm, the image is new to the store.
  const fresh = [];
  for (let i = 0; i < 7; i++) {
    const before = performance.now();
    const another = await ImageStore.open({ root: `${root}-${i}` });
    await another.unpack(await another.pull(reference, { auth: false, sink }), sink);
    fresh.push(performance.now() - before);
    rmSync(`${root}-${i}`, { recursive: true });
  }
  inProcess = fresh.sort((x, y) => x - y)[3];
  warm = await median({});
  noop = await median({ policy: 'always' });
}
process.stdout.write(
  `${JSON.stringify({ pull: pulled - began, mount: ended - pulled, stall: delay.max / 1e6, peak, cpu: (cpu.user + cpu.system) / 1e6, inProcess, warm, noop })}\n`,
);
process.exit(0);
