// Runs as a Node of its own, as an ordinary user with ranges in /etc/subuid whose containers write on disk. argv: ROOTFS WAY.
// "all": prints what they saw and what is left of them, as JSON. "stay": says "ready" when one has written, and waits to be killed.
import { existsSync, readdirSync } from 'node:fs';
import { runContainer } from '@ctr/runtime';

const [rootfs, way] = process.argv.slice(2);
const sh = (script, options) => runContainer({ rootfs, command: ['/bin/sh', '-ec', script], writable: 'disk', ...options });
const text = async (...args) => (await sh(...args).text()).trim().split('\n');
/** What is not this user's to remove: folders of others that nobody else may look into. */
const write =
  'for u in 5 33 1000; do mkdir -m 777 /of$u; mkdir -m 700 /of$u/a; echo x > /of$u/a/f; chown -R $u:$u /of$u; chmod 0 /of$u/a; done; chown 33:33 /etc/passwd; rm /etc/group';

if (way === 'stay') {
  const box = await sh(`${write}; echo written; sleep 1000`, { userns: 'auto' });
  let said = '';
  for await (const chunk of box.stdout) {
    said += chunk;
    if (said.includes('written')) break;
  }
  if (!said.includes('written')) throw new Error(`it ended: ${JSON.stringify(await box.exited)}`);
  process.stdout.write(`ready ${JSON.stringify(box.pid)}\n`);
  setInterval(() => {}, 1000);
} else {
  const auto = await text(`${write}; stat -c '%u %g %a' / /of33 /of33/a /etc/passwd; ls /etc`, { userns: 'auto' });
  const other = await text('id -u; touch /tmp/mine; stat -c %u /tmp/mine; mkdir /not 2>/dev/null || echo refused', {
    user: { uid: 1000, gid: 1000 },
  });
  const kept = await text('stat -c %u /; id -u; touch /made; mkdir /dir; touch /dir/f; stat -c "%u %g" /made', {
    userns: 'keep-id',
    user: '0',
  });
  const failed = await runContainer({ rootfs, command: ['/not/there'], writable: 'disk', userns: 'auto' })
    .result()
    .catch((e) => e.code);
  const again = await Promise.all([1, 2, 3].map((n) => text(`${write}; echo ${n}`, { userns: 'auto' })));
  const containers = `${process.env.CTR_ROOT}/containers`;
  const left = existsSync(containers) ? readdirSync(containers).flatMap((session) => readdirSync(`${containers}/${session}`)) : [];
  process.stdout.write(JSON.stringify({ auto, other, kept, failed, again: again.flat(), left }));
}
