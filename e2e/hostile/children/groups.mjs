// Runs as a Node of its own with supplementary groups. argv: ROOTFS. Prints who its containers' programs are.
import { runContainer } from '@ctr/runtime';

const rootfs = process.argv[2];
const pick = ({ uid, gid, groups }) => ({ uid, gid, groups: groups.sort((a, b) => a - b) });
const seen = { own: process.getgroups() };
for (const user of ['root', 'app', 'app:audio', '4242', '4242:4343'])
  seen[user] = pick(await runContainer({ rootfs, command: ['/inside/facts'], user }).json());
const box = await runContainer({ rootfs, command: ['/bin/sleep', '60'] });
seen.exec = pick(await box.exec(['/inside/facts'], { user: 'app' }).json());
await box[Symbol.asyncDispose]();
process.stdout.write(JSON.stringify(seen));
