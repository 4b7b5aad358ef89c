// Runs as a Node of its own, as an ordinary user who has ranges in /etc/subuid. argv: ROOTFS. Prints what it saw as JSON.
import { readFileSync, statSync } from 'node:fs';
import { checkHost, runContainer } from '@ctr/runtime';

const rootfs = process.argv[2];
const text = (script, options) => runContainer({ rootfs, command: ['/bin/sh', '-c', script], ...options }).text();
const lines = async (...args) =>
  (await text(...args))
    .trim()
    .split('\n')
    .map((l) => l.trim().replace(/\s+/g, ' '));
const ids = 'id -u; id -g; id -G; cat /proc/self/uid_map';

const other = await lines(ids, { user: { uid: 1000, gid: 1001, groups: [29] } });
const auto = await lines(ids, { userns: 'auto' });
const chown = await lines('touch /t/x && chown 33:34 /t/x && stat -c "%u %g" /t/x', { userns: 'auto', tmpfs: { '/t': '1m' } });
// A folder of this user, and what is made in it, belongs to the same number on both sides.
const kept = await lines('id -u; id -g; touch /data/mine; stat -c %u /data/mine', {
  userns: 'keep-id',
  user: { uid: process.getuid(), gid: process.getgid() },
  mounts: [{ type: 'bind', source: process.env.HOME, target: '/data' }],
});
const mine = statSync(`${process.env.HOME}/mine`).uid;
const box = await runContainer({ rootfs, command: ['/bin/sleep', '60'], user: { uid: 1000, gid: 1000, groups: [29] } });
const outside = Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${box.pid}/status`, 'utf8'))?.[1]);
const exec = [];
for (const user of [undefined, '0', { uid: 7, gid: 7, groups: [9] }])
  exec.push((await box.exec(['/bin/sh', '-c', 'echo $(id -u) $(id -G)'], { user }).text()).trim());
await box[Symbol.asyncDispose]();
// The same kind again, several at once; and a map that the caller wrote down.
const again = (await Promise.all([1, 2, 3].map(() => lines(ids, { userns: 'auto' })))).map((l) => l.length);
const part = [
  { containerId: 0, hostId: process.getuid(), size: 1 },
  { containerId: 1, hostId: 200_100, size: 50 },
];
const own = await lines(ids, { userns: { uidMap: part, gidMap: part }, user: { uid: 33, gid: 33 } });
const { features } = await checkHost();
process.stdout.write(
  JSON.stringify({ other, auto, chown, kept: [...kept, mine], outside, exec, again, own, ranges: features['id ranges'] }),
);
