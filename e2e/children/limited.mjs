// Runs as a Node of its own, as an ordinary user to whom control groups were delegated. argv: ROOTFS. Prints the result as JSON.
import { runContainer } from '@ctr/runtime';

const r = await runContainer({
  rootfs: process.argv[2],
  command: ['/inside/hog', '200'],
  resources: { memory: '100m', pids: 20 },
}).result();
process.stdout.write(JSON.stringify({ uid: process.getuid(), reason: r.reason, signal: r.signal }));
