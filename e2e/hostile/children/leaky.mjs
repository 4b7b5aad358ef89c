// Runs as a Node of its own that holds 50 descriptors which a program started from it would inherit (python3, which started it, left
// them open without close-on-exec), and secrets in its environment. argv: ROOTFS. Prints what the programs inside saw.
import { readdirSync } from 'node:fs';
import { runContainer } from '@ctr/runtime';

const facts = { rootfs: process.argv[2], command: ['/inside/facts'] };
const own = readdirSync('/proc/self/fd').length;
const alone = await runContainer(facts).json();
const box = await runContainer({ rootfs: process.argv[2], command: ['/bin/sleep', '60'], env: { GIVEN: 'yes' } });
const beside = await box.exec(['/inside/facts']).json();
const first = await box.exec(['/bin/cat', '/proc/1/environ', '/proc/1/cmdline']).text();
const fds = await box.exec(['/bin/ls', '-l', '/proc/1/fd']).text();
process.stdout.write(JSON.stringify({ own, alone, beside, first, fds }));
await box[Symbol.asyncDispose]();
