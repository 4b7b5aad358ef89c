// What OCI's mount options mean, read from the container's own mountinfo; and where targets lead.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, openSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { Fd, type Mount, type SpawnOptions, spawn } from '../src/index.js';
import { bundle } from './node-child.js';
import { ENV, leaks, messageOf, shell, WAYS } from './run.js';
import { makeShellRoot, rootOf } from './shell-root.js';

const needs = need('userns', 'busybox');
const root = need('root');

/** 'options propagation fstype superoptions' of the last mount on a target, from inside. */
const mountLine = (target: string): string =>
  `while read id parent dev root point options rest; do [ "$point" = "${target}" ] && echo "$options|$rest"; done </proc/self/mountinfo | tail -n 1`;
/** Flags, then shared:N and master:N without the numbers. */
const flagsAndPeers = (line: string): string => {
  const [options, rest] = line.split('|') as [string, string];
  return `${options} ${(rest.split(/(?:^| )- /)[0] ?? '').replace(/:\d+/g, '')}`.trim();
};

describe.skipIf(!needs.ok)(needs.title('mount options'), () => {
  let rootDir: string;
  beforeAll(() => {
    rootDir = makeShellRoot();
  });

  describe.each(WAYS)('$way', ({ user }) => {
    const namespaces = { user, mount: 'new', pid: 'new', ipc: 'new' } as const;
    const inRoot = (line: string, mounts: Mount[] = [], o: Partial<SpawnOptions> = {}): Promise<string> =>
      shell(line, { namespaces, root: rootOf(rootDir), mounts: [{ type: 'proc', target: '/proc' }, ...mounts], ...o });
    const bind = (options: string[], o: object = {}): Mount => ({ type: 'bind', source: rootDir, target: '/data', options, ...o });

    it.each([
      [['rbind'], 'rw,relatime'],
      [['bind', 'ro'], 'ro,relatime'],
      [['bind', 'nosuid', 'nodev', 'noexec'], 'rw,nosuid,nodev,noexec,relatime'],
      [['bind', 'nosuid', 'suid'], 'rw,relatime'],
      [['bind', 'noatime', 'nodiratime'], 'rw,noatime,nodiratime'],
      [['bind', 'strictatime'], 'rw'],
      [['bind', 'strictatime', 'relatime'], 'rw,relatime'],
      [['bind', 'nosymfollow'], 'rw,relatime,nosymfollow'],
      [['bind', 'defaults', 'async'], 'rw,relatime'],
    ] as [string[], string][])('bind %j is %s', async (options, flags) => {
      // A user namespace may not change how access times are kept on the host's mounts (mount_namespaces(7)).
      if (user === 'new' && options.some((o) => o.includes('atime') && o !== 'relatime') && !options.includes('relatime')) {
        expect(await messageOf(inRoot('true', [bind(options)]))).toContain('mount_setattr: EPERM');
        return;
      }
      expect(flagsAndPeers(await inRoot(mountLine('/data'), [bind(options)]))).toBe(flags);
    });

    it('plain words are for the mount alone, those with r for all below', async () => {
      const below = `while read id parent dev root point options rest; do case $point in /data*) echo "\${options%%,*} $point";; esac; done </proc/self/mountinfo`;
      const lines = async (...options: string[]): Promise<string[]> =>
        (await inRoot(below, [{ type: 'bind', source: '/dev', target: '/data', options }])).split('\n');
      const plain = await lines('rbind', 'ro');
      expect([plain[0], plain.length > 1, plain.slice(1).every((l) => l.startsWith('rw '))]).toEqual(['ro /data', true, true]);
      expect((await lines('rbind', 'rro')).filter((l) => !l.startsWith('ro '))).toEqual([]);
      const both = await lines('rbind', 'rro', 'rw');
      // What was read-only for all cannot be opened up again where a user namespace has locked it; here it may.
      expect(both[0]).toBe('rw /data');
    });

    it('noatime as a flag', async () => {
      const mounts: Mount[] = [{ type: 'bind', source: rootDir, target: '/data', noatime: true }];
      if (user === 'host') expect(flagsAndPeers(await inRoot(mountLine('/data'), mounts))).toBe('rw,noatime');
      expect(flagsAndPeers(await inRoot(mountLine('/tmp'), [{ type: 'tmpfs', target: '/tmp', noatime: true }]))).toBe(
        'rw,nosuid,nodev,noatime',
      );
    });

    it('words of a new file system', async () => {
      const line = await inRoot(mountLine('/tmp'), [
        { type: 'tmpfs', target: '/tmp', options: ['size=64k', 'nr_inodes=99', 'mode=700', 'dev', 'ro'] },
      ]);
      expect(line).toMatch(/^ro,nosuid,relatime\|.*- tmpfs tmpfs rw,size=64k,nr_inodes=99,mode=700/);
      expect(await inRoot(mountLine('/mnt'), [{ type: 'proc', target: '/mnt', options: ['hidepid=invisible', 'rw'] }])).toMatch(
        /proc rw,hidepid=invisible/,
      );
    });

    it('a file system by its name', async () => {
      const mounts: Mount[] = [
        { type: 'filesystem', fileSystem: 'tmpfs', source: 'mine', target: '/mnt', options: ['size=64k', 'noexec', 'ro'] },
      ];
      expect(await inRoot(mountLine('/mnt'), mounts)).toMatch(/^ro,noexec,relatime\|.*- tmpfs mine ro,size=64k/);
      expect(await messageOf(inRoot('true', [{ type: 'filesystem', fileSystem: 'nosuchfs', target: '/mnt' }]))).toContain('fsopen: ENODEV');
    });

    it('a /dev of its own that is read-only and small, with what is made in it', async () => {
      const script = `${mountLine('/dev')}; touch /dev/x 2>&1 | sed 's/.*: //'; head -c 200000 /dev/zero >/dev/shm/x 2>/dev/null; stat -c %s /dev/shm/x; ls -d /dev/pts /dev/mine; echo >/dev/null && echo written`;
      const mounts: Mount[] = [
        { type: 'dev', target: '/dev', options: ['ro', 'size=128k', 'mode=750', 'strictatime'] },
        { type: 'devpts', target: '/dev/pts' },
        { type: 'tmpfs', target: '/dev/shm', size: 65_536 },
        { type: 'tmpfs', target: '/dev/mine', readOnly: true },
      ];
      const seen = (await inRoot(script, mounts)).split('\n');
      expect(seen[0]).toMatch(/^ro,nosuid,noexec\|.*- tmpfs tmpfs rw,size=128k,mode=750/);
      expect(seen.slice(1)).toEqual(['Read-only file system', '65536', '/dev/mine', '/dev/pts', 'written']);
      expect(await inRoot(mountLine('/dev'), [{ type: 'dev', target: '/dev', readOnly: true, options: ['exec', 'suid', 'rw'] }])).toMatch(
        /^rw,relatime\|.*size=65536k,mode=755/,
      );
    });

    it('a mount in a read-only tmpfs, words of super blocks, and flags that one mount has of both kinds', async () => {
      const mounts: Mount[] = [
        { type: 'tmpfs', target: '/tmp', readOnly: true, options: ['sync', 'mand', 'dirsync', 'lazytime', 'iversion', 'silent', 'nomand'] },
        { type: 'tmpfs', target: '/tmp/inner' },
        bind(['bind', 'rnosuid', 'rnoexec', 'suid', 'rslave', 'nodev']),
      ];
      const seen = await inRoot(`${mountLine('/tmp')}; ${mountLine('/tmp/inner')}; ${mountLine('/data')}`, mounts);
      expect(seen).toMatch(/^ro,nosuid,nodev,relatime\|.*- tmpfs tmpfs rw,sync,dirsync,lazytime.*\nrw,.*\nrw,nodev,noexec,relatime/);
    });

    it('remount, of the mount and of its file system', async () => {
      const mounts: Mount[] = [
        { type: 'tmpfs', target: '/tmp', size: 65_536 },
        { type: 'remount', target: '/tmp', options: ['size=128k', 'noexec', 'ro', 'suid'] },
      ];
      expect(await inRoot(mountLine('/tmp'), mounts)).toMatch(/^ro,nodev,noexec,relatime\|.*tmpfs rw,size=128k/);
      expect(await messageOf(inRoot('true', [{ type: 'remount', target: '/nowhere', readOnly: true }]))).toMatchInlineSnapshot(`
        "start /bin/sh: remount /nowhere: mount_setattr: ENOENT (no such file or directory)
          mount_setattr(AT_FDCWD, "/nowhere", 0, {set=MOUNT_ATTR_RDONLY}, 32)"
      `);
      expect(await messageOf(inRoot('true', [{ type: 'remount', target: '/tmp', options: ['size=1k'] }]))).toContain('fspick: EINVAL');
    });

    it('propagation of a mount', async () => {
      const peers = async (...options: string[]): Promise<string> =>
        flagsAndPeers(await inRoot(mountLine('/data'), [bind(['rbind', ...options])]));
      expect(
        [await peers('private'), await peers('rprivate'), await peers('shared'), await peers('rshared'), await peers('unbindable')].map(
          (p) => p.replace('rw,relatime', '').trim().replace('master', '').trim(),
        ),
      ).toEqual(['', '', 'shared', 'shared', 'unbindable']);
    });

    it('propagation of the kernel’s own file systems', async () => {
      const types = { proc: '/proc', sysfs: '/sys', mqueue: '/data', devpts: '/data', cgroup: '/data' } as const;
      for (const [type, target] of Object.entries(types) as [keyof typeof types, string][])
        for (const word of ['shared', 'unbindable'])
          expect(
            flagsAndPeers(
              await inRoot(mountLine(target), [{ type, target, options: [word] }], {
                namespaces: { ...namespaces, network: 'new', cgroup: 'new' },
              }),
            ),
            type,
          ).toMatch(new RegExp(` ${word}$`));
    });

    it('propagation of the root', async () => {
      const of = async (rootPropagation: NonNullable<SpawnOptions['rootPropagation']>): Promise<string> => {
        const lines = await inRoot(`${mountLine('/')}; ${mountLine('/tmp')}`, [{ type: 'tmpfs', target: '/tmp' }], { rootPropagation });
        return lines
          .split('\n')
          .map((l) => flagsAndPeers(l).split(' ').slice(1).join(' ').replace('master', '').trim())
          .join('/');
      };
      expect([await of('shared'), await of('rshared'), await of('unbindable'), await of('runbindable'), await of('rprivate')]).toEqual([
        'shared/',
        'shared/shared',
        'unbindable/',
        'unbindable/unbindable',
        '/',
      ]);
    });

    it('a tmpfs that begins with what is there', async () => {
      const dir = makeShellRoot();
      mkdirSync(path.join(dir, 'etc/deep/er'), { recursive: true });
      chmodSync(path.join(dir, 'etc'), 0o751);
      writeFileSync(path.join(dir, 'etc/deep/er/file'), 'x'.repeat(100_000));
      writeFileSync(path.join(dir, 'etc/empty'), '');
      chmodSync(path.join(dir, 'etc/empty'), 0o4610);
      symlinkSync('../nowhere', path.join(dir, 'etc/deep/link'));
      const o = { root: rootOf(dir) };
      const line =
        'cd /etc; wc -c <deep/er/file; readlink deep/link; stat -c "%a %n" . empty deep/er; echo new >new; rm -r deep; ls; stat -f -c %T .';
      const up: Mount = { type: 'tmpfs', target: '/etc', options: ['tmpcopyup'] };
      expect(await inRoot(line, [up], o)).toBe('100000\n../nowhere\n751 .\n4610 empty\n755 deep/er\nempty\nnew\ntmpfs');
      expect(
        await inRoot(
          'stat -c %a /etc; ls /etc; touch /etc/x 2>&1 || true',
          [{ type: 'tmpfs', target: '/etc', copyUp: true, mode: 0o700, readOnly: true }],
          o,
        ),
      ).toBe('700\ndeep\nempty\ntouch: /etc/x: Read-only file system');
      expect(statSync(path.join(dir, 'etc/deep/er/file')).size).toBe(100_000);
      expect(await inRoot('ls /nowhere | wc -l', [{ type: 'tmpfs', target: '/nowhere', copyUp: true }], o)).toBe('0');
      expect(await messageOf(inRoot('true', [{ ...up, size: 4096 }], o))).toMatchInlineSnapshot(`
        "start /bin/sh: mount a tmpfs on /etc: copy_tree: ENOSPC (no space left)
          copy_tree(mount1.from, mount1, 1)"
      `);
    });

    it('a target through links, also those that lead nowhere yet', async () => {
      const dir = makeShellRoot();
      symlinkSync('/not/there/yet', path.join(dir, 'dangling'));
      symlinkSync('../../../..//late/./here', path.join(dir, 'etc/relative'));
      symlinkSync('dangling/further', path.join(dir, 'chain'));
      symlinkSync('loop', path.join(dir, 'loop'));
      symlinkSync('/data', path.join(dir, 'folder'));
      symlinkSync('/etc/made', path.join(dir, 'file'));
      const tmpfs = (target: string): Mount => ({ type: 'tmpfs', target });
      const o = { root: rootOf(dir) };
      const points = 'while read id parent dev root point rest; do echo $point; done </proc/self/mountinfo | tail -n +3';
      expect(await inRoot(points, [tmpfs('/dangling/a/b'), tmpfs('/etc/relative'), tmpfs('/chain/x'), tmpfs('/folder')], o)).toBe(
        '/not/there/yet/a/b\n/late/here\n/not/there/yet/further/x\n/data',
      );
      expect(await messageOf(inRoot('true', [tmpfs('/loop/x')], o))).toContain('move_mount: ELOOP');
      writeFileSync(path.join(dir, 'source'), 'bound\n');
      // A link itself is covered by a file: what it shows is what was given.
      expect(await inRoot('cat /file', [{ type: 'bind', source: path.join(dir, 'source'), target: '/file' }], o)).toBe('bound');
      expect(
        await inRoot('cat /dangling/made; pwd', [{ type: 'bind', source: path.join(dir, 'source'), target: '/dangling/made' }], {
          ...o,
          cwd: '/dangling/cwd',
          createCwd: true,
        }),
      ).toBe('bound\n/not/there/yet/cwd');
      const long: Mount = tmpfs(`/${'x'.repeat(256)}`);
      expect(await messageOf(inRoot('true', [long], o))).toContain('ENAMETOOLONG');
    });

    it('further devices', async () => {
      const devices = [
        { path: '/dev/mine/zero', type: 'c', major: 1, minor: 5, fileMode: 0o640, gid: user === 'host' ? 7 : 0 },
        { path: '/dev/null', type: 'c', major: 1, minor: 3 },
        { path: '/dev/pipe', type: 'p' },
      ] as const;
      const o = { devices: user === 'host' ? devices : [{ ...devices[1], path: '/dev/full', minor: 7 }] };
      const line = 'cd /dev; stat -c "%n %F %a %g %t:%T" mine/zero pipe 2>/dev/null; echo x 2>&1 >full; true';
      const seen = await inRoot(line, [{ type: 'dev', target: '/dev' }], o);
      if (user === 'host') expect(seen).toContain('mine/zero character special file 640 7 1:5\npipe fifo 666 0 0:0');
      expect(seen).toContain('No space left');
    });

    it('devices of a user namespace are the host’s, as they are', async () => {
      const zero = { path: '/dev/mine', type: 'c', major: 1, minor: 5 } as const;
      const show = (device: object, o: object = {}): Promise<string> =>
        inRoot('cd /dev; stat -c "%F %t:%T" mine', [{ type: 'dev', target: '/dev' }], { devices: [{ ...zero, ...device }], ...o });
      expect(await show({ source: '/dev/zero' })).toBe('character special file 1:5');
      expect(await show({ type: 'p', major: undefined, minor: undefined, fileMode: 0o640 })).toBe('fifo 0:0');
      if (user === 'host') return;
      const { mode } = statSync('/dev/zero');
      expect(await show({ source: '/dev/zero', fileMode: mode & 0o7777 })).toBe('character special file 1:5');
      const wrong = [
        { source: '/dev/null' },
        { source: '/etc/passwd' },
        { source: '/etc/passwd', type: 'b' },
        { source: '/dev/zero', type: 'b' },
        { source: '/dev/zero', fileMode: 0o640 },
        { source: '/dev/zero', uid: 7 },
        {},
      ];
      expect(
        (await Promise.all(wrong.map((d) => messageOf(show(d))))).join('\n').replaceAll(', since a user namespace can make none', ''),
      ).toMatchInlineSnapshot(`
        "expected "devices[0]" to be what /dev/null of this host is (c 1:3), received "c 1:5" (string)
        expected "devices[0]" to be what /etc/passwd of this host is (no device), received "c 1:5" (string)
        expected "devices[0]" to be what /etc/passwd of this host is (no device), received "b 1:5" (string)
        expected "devices[0]" to be what /dev/zero of this host is (c 1:5), received "b 1:5" (string)
        expected "devices[0].fileMode" to be left out, or as /dev/zero has it (0o666), received "0o640" (string)
        expected "devices[0].uid" to be left out, or the id inside of the owner of /dev/zero (0 outside), received 7 (number)
        expected "devices[0].path" to be a device of this host, received "/dev/mine" (string)"
      `);
    });

    it('are refused before anything is done when they make no sense', async () => {
      const bad: object[] = [
        { type: 'bind', source: '/', target: '/data', options: ['size=1'] },
        { type: 'tmpfs', target: '/data', options: ['rbind'] },
        { type: 'proc', target: '/data', options: ['tmpcopyup'] },
        { type: 'bind', source: '/', target: '/data', options: ['ridmap'] },
        { type: 'dev', target: '/dev', options: ['rbind'] },
        { type: 'tmpfs', target: '/data', options: 'ro' },
        { type: 'filesystem', target: '/data' },
        { type: 'bind', source: '/', target: '/data', idMap: 3 },
      ];
      const messages = await Promise.all(bad.map((m) => messageOf(inRoot('true', [m as Mount]))));
      const more = [
        { rootPropagation: 'slaves' },
        { devices: [{ path: '/dev/x', type: 'c', major: 1 }] },
        { devices: [{ path: 'x', type: 'p' }] },
      ];
      for (const o of more) messages.push(await messageOf(inRoot('true', [], o as never)));
      expect(messages.join('\n')).toMatchInlineSnapshot(`
        "expected "mounts[1].options" to be words for a mount: a bind has no file system of its own to take others, received "size" (string)
        expected "mounts[1].options" to be left out, or type 'bind', received "bind" (string)
        expected "mounts[1].options" to be left out, or type 'tmpfs', received "tmpcopyup" (string)
        expected "mounts[1].idMap" to be an Fd of a user namespace, with 'idmap', received undefined
        expected "mounts[1].options" to be left out, or type 'bind', received "bind" (string)
        expected "mounts[1].options" to be an array, received "ro" (string)
        expected "mounts[1].fileSystem" to be a string, received undefined
        expected "mounts[1].idMap" to be an open Fd of a user namespace, received 3 (number)
        expected "rootPropagation" to be one of private, rprivate, slave, rslave, shared, rshared, unbindable, runbindable, received "slaves" (string)
        expected "devices[0].minor" to be an integer from 0 to 1048575, received undefined
        expected "devices[0].path" to be an absolute path, received "x" (string)"
      `);
    });

    it('leave nothing', async () => {
      await inRoot('true');
      const check = leaks();
      await inRoot('true', [bind(['rbind', 'rshared']), { type: 'tmpfs', target: '/etc', copyUp: true }], { rootPropagation: 'rshared' });
      await messageOf(inRoot('true', [{ type: 'remount', target: '/nowhere' }]));
      await check.assertClean();
    });
  });

  it.skipIf(!root.ok)(root.title('slave and shared binds hear of the host’s mounts, and a shared one tells'), async () => {
    // A "host" of its own with a shared mount; the launcher in it is a Node of its own.
    const dir = makeTempDir('propagation');
    const source = path.join(dir, 'source');
    mkdirSync(source);
    for (const d of ['late', 'inner']) mkdirSync(path.join(source, d));
    const file = await bundle(`
      import { spawn, enter } from 'ns'
      import { execFileSync } from 'node:child_process'
      import { text } from 'node:stream/consumers'
      const [source, rootDir] = process.argv.slice(2)
      const sh = (line) => execFileSync('sh', ['-c', line], { encoding: 'utf8' }).trim()
      sh(\`mount --make-rprivate /; mount --bind \${source} \${source}; mount --make-shared \${source}\`)
      for (const propagation of ['private', 'slave', 'shared']) {
        const box = await spawn({ args: ['/bin/sleep', '1000'], namespaces: { mount: 'new', pid: 'new' },
          root: { steps: [{ call: 'open_tree', args: [-100, rootDir, 0x80001], into: 'root' }], slot: 'root' },
          mounts: [{ type: 'proc', target: '/proc' }, { type: 'bind', source, target: '/data', propagation }] })
        sh(\`mount -t tmpfs late \${source}/late\`)
        const inside = await enter(box, { args: ['/bin/sh', '-c', 'mount -t tmpfs inner /data/inner; cat /proc/self/mountinfo'] })
        const theirs = (await text(inside.stdout)).includes(' /data/late ')
        const ours = sh('cat /proc/self/mountinfo').includes(source + '/inner ')
        console.log(propagation, theirs, ours)
        await box[Symbol.asyncDispose]()
        sh(\`umount \${source}/late; umount \${source}/inner 2>/dev/null || true\`)
      }
    `);
    const said = execFileSync('unshare', ['-m', process.execPath, file, source, rootDir], { encoding: 'utf8' });
    expect(said).toBe('private false false\nslave true false\nshared true true\n');
  });

  it.skipIf(!root.ok)(root.title('a root from a shared mount hears of what is mounted below it, and tells nothing'), async () => {
    // As under systemd, which shares all mounts of the host.
    const dir = makeShellRoot();
    const file = await bundle(`
      import { spawn, enter } from 'ns'
      import { execFileSync } from 'node:child_process'
      import { text } from 'node:stream/consumers'
      const [dir] = process.argv.slice(2)
      const sh = (line) => execFileSync('sh', ['-c', line], { encoding: 'utf8' }).trim()
      sh(\`mount --make-rprivate /; mount --bind \${dir} \${dir}; mount --make-shared \${dir}\`)
      for (const rootPropagation of ['private', 'slave', 'rslave', 'shared', 'rshared']) {
        const box = await spawn({ args: ['/bin/sleep', '1000'], namespaces: { mount: 'new', pid: 'new' }, rootPropagation,
          root: { steps: [{ call: 'open_tree', args: [-100, dir, 0x80001], into: 'root' }], slot: 'root' },
          mounts: [{ type: 'proc', target: '/proc' }] })
        sh(\`mount -t tmpfs late \${dir}/mnt\`)
        const inside = await enter(box, { args: ['/bin/sh', '-c', 'mount -t tmpfs inner /etc; cat /proc/self/mountinfo'] })
        const theirs = (await text(inside.stdout)).includes(' /mnt ')
        const ours = sh('cat /proc/self/mountinfo').includes(dir + '/etc ')
        console.log(rootPropagation, theirs, ours)
        await box[Symbol.asyncDispose]()
        sh(\`umount \${dir}/mnt; umount \${dir}/etc 2>/dev/null || true\`)
      }
    `);
    const said = execFileSync('unshare', ['-m', process.execPath, file, dir], { encoding: 'utf8' });
    expect(said).toBe('private false false\nslave true false\nrslave true false\nshared true false\nrshared true false\n');
  });

  it.skipIf(!root.ok)(root.title('ids are seen by the maps of a user namespace'), async () => {
    const dir = makeTempDir('idmap');
    chmodSync(dir, 0o755);
    writeFileSync(path.join(dir, 'file'), 'x');
    const maps = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
    const holder = await spawn({
      args: ['sleep', '1000'],
      env: ENV,
      namespaces: { user: 'new' },
      idMaps: { uid: maps, gid: maps },
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    using idmap = Fd.of(openSync(`/proc/${holder.pid}/ns/user`, 'r'));
    const o = { root: rootOf(rootDir), namespaces: { mount: 'new', pid: 'new' } } as const;
    const see = (mount: object): Promise<string> =>
      shell('stat -c "%u %g" /data/file', { ...o, mounts: [{ type: 'bind', source: dir, target: '/data', ...mount } as Mount] });
    expect(await see({})).toBe('0 0');
    expect(await see({ idMap: idmap })).toBe('100000 100000');
    expect(await see({ idMap: idmap, options: ['bind', 'idmap', 'ro'] })).toBe('100000 100000');
    using source = Fd.of(openSync(dir, 'r'));
    expect(await see({ idMap: idmap, source })).toBe('100000 100000');
    const own = { ...o, namespaces: { ...o.namespaces, user: 'new' }, idMaps: { uid: maps, gid: maps } } as const;
    const mounts: Mount[] = [{ type: 'bind', source: dir, target: '/data', idMap: idmap }];
    expect(await shell('stat -c "%u %g" /data/file; echo y >/data/new', { ...own, mounts })).toBe('0 0');
    expect(statSync(path.join(dir, 'new')).uid).toBe(0);
    using wrong = Fd.of(openSync('/proc/self/ns/net', 'r'));
    expect(await messageOf(see({ idMap: wrong }))).toContain('mount_setattr: EINVAL');
    await holder[Symbol.asyncDispose]();
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(dir);
  });
});
