// The smallest useful program: runs a command in a container and shows how it ended.
// node index.mjs [IMAGE [COMMAND…]]     without an image: on this machine's own files
import { runContainer } from '@ctr/runtime';

const [image, ...command] = process.argv.slice(2);
const asRoot = process.geteuid() === 0;
const own = { rootfs: 'host', readOnly: !asRoot, command: ['sh', '-c', 'echo "hello from process $$ on $(hostname)"'] };

const result = await runContainer(image ? { image, command } : own).result();
process.stdout.write(result.stdout);
process.stderr.write(result.stderr);
console.log(`${result.reason} with ${result.exitCode ?? result.signal} after ${result.durationMs.toFixed(1)} ms`);
process.exitCode = result.ok ? 0 : 1;
