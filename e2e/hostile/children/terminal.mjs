// Runs as a Node of its own whose streams are a terminal: its containers inherit them, and try to type into it. argv: ROOTFS.
// Writes what came back into the file that it is told of. argv: ROOTFS FILE
import { writeFileSync } from 'node:fs';
import { Fd, spawn, syscallNumber } from '@ctr/namespaces';
import { runContainer } from '@ctr/runtime';

const [rootfs, file] = process.argv.slice(2);
const ioctl = syscallNumber('ioctl');
// TIOCSTI, TIOCSCTTY (also by force), TIOCSPGRP, TIOCLINUX, on each stream.
const calls = [0x5412, 0x540e, 0x5410, 0x541c].flatMap((request) =>
  [0, 1, 2].map((fd) => `${ioctl}:${fd}:${request}:${request === 0x540e ? 1 : 'sx'}`),
);
const script = `/inside/calls ${calls.join(' ')} > /tmp/answers; (true < /dev/tty) 2>/dev/null && echo "has a terminal" >> /tmp/answers
  cut -d' ' -f7 /proc/self/stat >> /tmp/answers; cat /tmp/answers >&2`;
const streams = { stdin: 'inherit', stdout: 'inherit' };
const run = await runContainer({ rootfs, command: ['/bin/sh', '-c', script], ...streams, stderr: 'pipe' }).result();
// The launcher alone hands on what it is given: there the session is the wall.
const direct = await spawn({
  args: [
    `${rootfs}/bin/busybox`,
    'sh',
    '-c',
    `${rootfs}/inside/calls ${calls.join(' ')} >&2; (true < /dev/tty) 2>/dev/null && echo "has a terminal" >&2; cut -d" " -f7 /proc/self/stat >&2`,
  ],
  stdio: [new Fd(0), new Fd(1), 'pipe'],
  noNewPrivileges: true,
  // An ordinary user has none to drop.
  ...(process.getuid() === 0 ? { capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] } } : {}),
});
// Before its end: the stream may be closed by then, and says so only once.
const closed = new Promise((resolve) => direct.stderr.once('close', resolve));
let text = '';
direct.stderr.on('data', (c) => {
  text += c;
});
await direct.exited;
await closed;
writeFileSync(file, JSON.stringify({ run: run.stderr, direct: text }));
