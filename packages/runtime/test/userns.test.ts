// A user namespace for root's containers: a range of its own, layers and binds with mapped ids, and nothing left.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Image, ImageStore, packTar } from '@ctr/image';
import { host, leakCheck, makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Container, explain, type RunOptions, runContainer } from '../src/index.js';
import { atLeast } from '../src/session/host-facts.js';
import { busyboxRoot } from './busybox-root.js';

const n = need('busybox', 'root', 'userns');
const mapped = n.ok && atLeast([6, 15]);
const title = mapped || !n.ok ? n.title('userns "auto" for root') : 'userns "auto" for root [skipped: needs Linux 6.15]';

const hostUid = (box: Container): number => Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${box.pid}/status`, 'utf8'))?.[1]);

describe.skipIf(!mapped)(title, () => {
  let rootfs = '';
  const run = (script: string, options: RunOptions = {}) =>
    runContainer({ rootfs, command: ['sh', '-c', script], userns: 'auto', ...options });
  beforeAll(() => {
    rootfs = busyboxRoot();
    writeFileSync(path.join(rootfs, 'etc/of33'), 'x', { mode: 0o600 });
    chownSync(path.join(rootfs, 'etc/of33'), 33, 34);
  });

  it('root inside is a user without rights outside, and the files are root’s all the same', async () => {
    const out = await run('id -u; cat /proc/self/uid_map; stat -c "%u %g" / /etc /etc/passwd /etc/of33').text();
    const [id, map = '', ...owners] = out.trim().split('\n');
    const [inside, start, size] = map.trim().split(/\s+/).map(Number);
    expect([id, inside, size]).toEqual(['0', 0, 65_536]);
    expect(start).toBeGreaterThanOrEqual(524_288);
    expect(owners).toEqual(['0 0', '0 0', '0 0', '33 34']);
  });

  it.each(['memory', 'disk'] as const)('writes, changes owners and runs as another user, in %s', async (writable) => {
    const script =
      'echo new > /etc/passwd && touch /etc/made && chown 5:6 /etc/made && rm /etc/group && stat -c "%u %g" /etc/passwd /etc/made && ls /etc';
    expect(await run(script, { writable }).text()).toBe('0 0\n5 6\nmade\nof33\npasswd\n');
    expect(await run('id -u; id -g; id -G; cat /etc/of33 2>&1 || echo refused', { writable, user: 'node' }).text()).toMatch(
      /^1000\n1000\n1000 29\n.*refused\n$/s,
    );
    expect(readFileSync(path.join(rootfs, 'etc/passwd'), 'utf8')).toMatch(/^root:/);
  });

  it('two at a time have nothing in common; their processes are of different users', async () => {
    await using a = await run('sleep 100');
    await using b = await run('sleep 100', { user: { uid: 7, gid: 7 } });
    const [first, second] = [hostUid(a), hostUid(b) - 7];
    expect([first % 65_536, second % 65_536, first === second]).toEqual([0, 0, false]);
    expect(await a.exec(['id', '-u']).text()).toBe('0\n');
    expect(await b.exec(['id', '-u'], { user: '0' }).text()).toBe('0\n');
  });

  it('binds show and keep the owners on disk', async () => {
    const dir = makeTempDir('bind');
    chmodSync(dir, 0o700);
    mkdirSync(path.join(dir, 'of33'));
    chownSync(path.join(dir, 'of33'), 33, 33);
    const mounts: RunOptions['mounts'] = [{ type: 'bind', source: dir, target: '/data' }];
    expect(await run('stat -c "%u %a" /data /data/of33; touch /data/made; chown 8:9 /data/made', { mounts }).text()).toBe(
      '0 700\n33 755\n',
    );
    const { uid, gid } = statSync(path.join(dir, 'made'));
    expect([uid, gid]).toEqual([8, 9]);
  });

  it('with an image: marks in its layers, and the files of the network', async () => {
    const store = await ImageStore.open({ root: makeTempDir('store') });
    const busybox = readFileSync(host.program('busybox'));
    const image: Image = await store.create({
      reference: 'localhost/test/mapped:1',
      layers: [
        packTar([
          { type: 'directory', path: 'bin' },
          { type: 'file', path: 'bin/busybox', content: busybox, mode: 0o755 },
          { type: 'directory', path: 'etc' },
          { type: 'directory', path: 'opaque' },
          { type: 'file', path: 'opaque/below', content: '' },
          { type: 'file', path: 'gone', content: '' },
        ]),
        packTar([
          { type: 'file', path: '.wh.gone', content: '' },
          { type: 'directory', path: 'opaque' },
          { type: 'file', path: 'opaque/.wh..wh..opq', content: '' },
          { type: 'file', path: 'opaque/above', content: '' },
        ]),
      ],
      config: { Env: ['PATH=/bin'], Cmd: ['/bin/busybox', 'sh'] },
    });
    const script = 'busybox ls / /opaque; busybox grep -c localhost /etc/hosts; busybox stat -c %u /etc/hosts';
    const out = await runContainer({ image, store, command: ['busybox', 'sh', '-c', script], userns: 'auto' }).text();
    expect(out).not.toMatch(/gone|below/);
    expect(out).toMatch(/above\n\d+\n0\n$/);
  });

  it('explain shows the maps, the mounts in the monitor, and nothing that would touch the host’s', async () => {
    const { oci, plan } = await explain({ rootfs, command: ['true'], userns: 'auto' });
    expect(oci.linux.uidMappings).toEqual([{ containerID: 0, hostID: expect.any(Number), size: 65_536 }]);
    const [before = ''] = plan.split('clone3(');
    expect(before).toMatch(/overlay = fsmount/);
    expect(before).not.toMatch(/ (mount|umount2|move_mount|pivot_root)\(/);
  });

  it('failures give the range back, and nothing is left', async () => {
    const six = () => Promise.all(Array.from({ length: 6 }, () => run('cat /proc/self/uid_map').text()));
    // Ranges are kept for the next containers, as many as ran at the same time.
    await six();
    const check = leakCheck();
    await expect(run('true', { command: ['/nowhere'] }).result()).rejects.toThrow(/ENOENT/);
    await expect(run('true', { mounts: [{ type: 'bind', source: '/nowhere', target: '/x' }] }).result()).rejects.toThrow(/nowhere/);
    const starts = await six();
    expect(new Set(starts).size).toBe(6);
    await check.assertClean({ withinMs: 3000 });
  });

  it('explicit maps: layers and binds by them', async () => {
    const map = [{ containerId: 0, hostId: 100_000, size: 1000 }];
    const userns = { uidMap: map, gidMap: map };
    await using box = await run('sleep 100', { userns, user: { uid: 5, gid: 5 } });
    expect(hostUid(box)).toBe(100_005);
    expect(await box.exec(['stat', '-c', '%u', '/etc/of33']).text()).toBe('33\n');
  });
});

describe.skipIf(!mapped)(title.replace('"auto"', 'left out'), () => {
  let rootfs = '';
  const run = (script: string, options: RunOptions = {}) => runContainer({ rootfs, command: ['sh', '-c', script], ...options });
  /** The host's namespace has all ids under their own numbers. */
  const MAP = 'set -- $(cat /proc/self/uid_map); [ $2 = 0 ] && echo host || echo own';
  beforeAll(() => {
    rootfs = busyboxRoot();
  });

  it('is a namespace of the container’s own', async () => {
    expect(await run(MAP).text()).toBe('own\n');
    expect(await run(MAP, { writable: 'disk', readOnly: true, network: 'none', ulimits: { nofile: 100 } }).text()).toBe('own\n');
  });

  it.each<[string, RunOptions]>([
    ['userns: "host"', { userns: 'host' }],
    ['Docker’s preset', { preset: 'docker' }],
    ['the host’s network', { network: 'host' }],
    ['the host’s ipc namespace', { namespaces: { ipc: 'host' } }],
    ['a capability over the machine', { capabilities: { add: ['CAP_SYS_TIME'] } }],
    ['a user above the range', { user: { uid: 70_000, gid: 70_000 } }],
    ['a bind of what cannot be mapped', { mounts: [{ type: 'bind', source: '/proc', target: '/host-proc' }] }],
  ])('is the host’s with %s', async (_, options) => expect(await run(MAP, options).text()).toBe('host\n'));

  it('is its own with the host’s network when that is insisted on: /sys is then the host’s, read-only', async () => {
    const script = `${MAP}; touch /sys/kernel/made 2>/dev/null || echo refused; ls /sys/class/net | wc -l`;
    const links = readdirSync('/sys/class/net').length;
    expect(await run(script, { userns: 'auto', network: 'host' }).text()).toBe(`own\nrefused\n${links}\n`);
  });

  it('is the host’s for a root on overlayfs, which cannot be mapped; to insist is an error', async () => {
    const dir = makeTempDir('overlay');
    for (const name of ['upper', 'work', 'merged']) mkdirSync(path.join(dir, name));
    const merged = path.join(dir, 'merged');
    const options = `lowerdir=${rootfs},upperdir=${path.join(dir, 'upper')},workdir=${path.join(dir, 'work')}`;
    execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', options, merged]);
    try {
      for (let i = 0; i < 2; i++) expect(await run(MAP, { rootfs: merged }).text()).toBe('host\n');
      await expect(run(MAP, { rootfs: merged, userns: 'auto' }).text()).rejects.toThrow(/mount_setattr: EINVAL|map the ids/);
    } finally {
      execFileSync('umount', [merged]);
    }
  });
});
