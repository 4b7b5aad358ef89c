// Runs as a Node of its own: starts a container whose writable layer on disk has a size, says "ready" with the device that it lies on and
// waits to be killed. argv: ROOTFS
import { readdirSync, readFileSync } from 'node:fs';
import { runContainer } from '@ctr/runtime';

const box = await runContainer({
  rootfs: process.argv[2],
  command: ['/bin/sh', '-c', 'echo x >/written; exec sleep 1000'],
  writable: { on: 'disk', size: '16m' },
});
await box.exec(['/bin/sh', '-c', 'until [ -e /written ]; do sleep 0.01; done']).result();
const file = (name) => {
  try {
    return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trim();
  } catch {
    return '';
  }
};
const files = readdirSync('/sys/block').map(file);
process.stdout.write(`ready ${JSON.stringify({ pid: box.pid, files: files.filter((f) => f.startsWith(process.env.CTR_ROOT)) })}\n`);
setInterval(() => {}, 1000);
