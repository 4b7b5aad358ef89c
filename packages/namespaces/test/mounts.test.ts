// Each kind of mount, in the host's tree and in a root of its own; what is masked and what is read-only.
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { Fd, type Mount, type SpawnOptions } from '../src/index.js';
import { asRoot, messageOf, run, shell, WAYS } from './run.js';
import { makeShellRoot, rootOf } from './shell-root.js';

const needs = need('userns', 'busybox');
const ordinary = need('ordinary-user');
const root = need('root');

/** `mountpoint options fstype` of one mount, from inside. */
const mountLine = (target: string): string =>
  `while read id parent dev root point options rest; do [ "$point" = "${target}" ] && echo "$options \${rest#*- }"; done </proc/self/mountinfo | tail -n 1`;

describe.skipIf(!needs.ok)(needs.title('mounts'), () => {
  let rootDir: string;
  beforeAll(() => {
    rootDir = makeShellRoot();
  });

  describe.each(WAYS)('$way', ({ user }) => {
    const namespaces = { user, mount: 'new', pid: 'new', uts: 'new', ipc: 'new', network: 'new' } as const;
    /** In a root of its own with /proc. */
    const inRoot = (line: string, mounts: Mount[] = [], o: Partial<SpawnOptions> = {}): Promise<string> =>
      shell(line, { namespaces, root: rootOf(rootDir), mounts: [{ type: 'proc', target: '/proc' }, ...mounts], ...o });

    it('leave the host’s mount table as it was', async () => {
      const before = readFileSync('/proc/self/mountinfo', 'utf8');
      await inRoot('true', [{ type: 'tmpfs', target: '/tmp' }]);
      await shell('true', { namespaces, mounts: [{ type: 'tmpfs', target: '/mnt' }] });
      expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(before);
    });

    it('the root is all there is', async () => {
      expect((await inRoot('ls /')).split('\n')).toEqual(['bin', 'data', 'dev', 'etc', 'mnt', 'proc', 'sys', 'tmp']);
      expect(await inRoot('cd ../../..; pwd; ls /proc/1/root/ | wc -l')).toBe('/\n8');
      expect(await inRoot('wc -l </proc/self/mountinfo')).toBe('2');
    });

    it('the root may be read-only, and what is mounted in it writable', async () => {
      const o = { readOnlyRoot: true };
      const line = 'touch /x 2>&1; touch /tmp/x && echo ok';
      expect(await inRoot(line, [{ type: 'tmpfs', target: '/tmp' }], o)).toBe('touch: /x: Read-only file system\nok');
    });

    it('proc shows the container’s processes', async () => {
      expect(await inRoot('ls /proc | grep "^[0-9]*$" | head -n 1; cat /proc/1/comm; true')).toBe('1\nsh');
      expect(await inRoot(mountLine('/proc'))).toBe('rw,nosuid,nodev,noexec,relatime proc proc rw');
    });

    it('tmpfs has its size, mode and flags', async () => {
      const mounts: Mount[] = [{ type: 'tmpfs', target: '/tmp', size: 65_536, mode: 0o750, noexec: true, readOnly: false }];
      expect(await inRoot(`stat -c %a /tmp; ${mountLine('/tmp')}`, mounts)).toMatch(
        /^750\nrw,nosuid,nodev,noexec,relatime tmpfs tmpfs rw,size=64k,mode=750/,
      );
      expect(await inRoot('head -c 100000 /dev/zero 2>/dev/null >/tmp/x; cat /bin/busybox >/tmp/y 2>&1 || echo full', mounts)).toContain(
        'full',
      );
    });

    it('tmpfs may have none of the usual flags', async () => {
      const mounts: Mount[] = [{ type: 'tmpfs', target: '/tmp', nosuid: false, nodev: false }];
      expect(await inRoot(mountLine('/tmp'), mounts)).toMatch(/^rw,relatime tmpfs tmpfs/);
    });

    it('sysfs is read-only', async () => {
      expect(await inRoot(`ls /sys/class/net; ${mountLine('/sys')}`, [{ type: 'sysfs', target: '/sys' }])).toBe(
        'lo\nro,nosuid,nodev,noexec,relatime sysfs sysfs rw',
      );
    });

    it('mqueue and devpts are the container’s own', async () => {
      const mounts: Mount[] = [
        { type: 'devpts', target: '/mnt/pts' },
        { type: 'mqueue', target: '/mnt/mqueue' },
      ];
      expect(await inRoot('ls /mnt/pts /mnt/mqueue; stat -c %a /mnt/pts/ptmx', mounts)).toBe('/mnt/mqueue:\n\n/mnt/pts:\nptmx\n666');
    });

    it('dev has the default devices and links', async () => {
      const mounts: Mount[] = [
        { type: 'dev', target: '/dev' },
        { type: 'devpts', target: '/dev/pts' },
      ];
      const line = `cd /dev; for f in null zero full random urandom tty; do stat -c '%n %F %a %t:%T' $f; done; for l in fd stdin stdout stderr ptmx; do echo "$l: $(readlink $l)"; done; ls -d pts shm mqueue
        echo x >null; head -c 2 zero | wc -c; stat -c %a .`;
      expect(await inRoot(line, mounts)).toMatchInlineSnapshot(`
        "null character special file 666 1:3
        zero character special file 666 1:5
        full character special file 666 1:7
        random character special file 666 1:8
        urandom character special file 666 1:9
        tty character special file 666 5:0
        fd: /proc/self/fd
        stdin: /proc/self/fd/0
        stdout: /proc/self/fd/1
        stderr: /proc/self/fd/2
        ptmx: pts/ptmx
        mqueue
        pts
        shm
        2
        755"
      `);
    });

    it('cgroup shows the container’s own group as the top', async () => {
      const mounts: Mount[] = [{ type: 'cgroup', target: '/sys' }];
      const o = { namespaces: { ...namespaces, cgroup: 'new' } } as const;
      expect(await inRoot(`test -e /sys/cgroup.procs && echo there; ${mountLine('/sys')}`, mounts, o)).toMatch(
        /^there\nro,nosuid,nodev,noexec,relatime cgroup2 cgroup2 /,
      );
    });

    it('bind a folder: writable, made where it is missing', async () => {
      const source = makeTempDir('bind');
      chmodSync(source, 0o777);
      const mounts: Mount[] = [
        { type: 'tmpfs', target: '/tmp' },
        { type: 'bind', source, target: '/tmp/new/one' },
      ];
      expect(await inRoot('echo from inside >/tmp/new/one/file; cat /tmp/new/one/file', mounts)).toBe('from inside');
      expect(readFileSync(path.join(source, 'file'), 'utf8')).toBe('from inside\n');
    });

    it('bind a file, on a file and on nothing', async () => {
      const dir = makeTempDir('bind');
      chmodSync(dir, 0o755);
      const source = path.join(dir, 'source');
      writeFileSync(source, 'content\n');
      const tmp: Mount = { type: 'tmpfs', target: '/tmp' };
      expect(await inRoot('cat /tmp/a/b/file', [tmp, { type: 'bind', source, target: '/tmp/a/b/file', readOnly: true }])).toBe('content');
      expect(await inRoot('cat /bin/test', [{ type: 'bind', source, target: '/bin/busybox' }]).catch((e: Error) => e.message)).toContain(
        'execve',
      );
    });

    it('bind read-only, with everything that is mounted below', async () => {
      const mounts: Mount[] = [{ type: 'bind', source: '/dev', target: '/data', readOnly: true, nosuid: true }];
      const below = `while read id parent dev root point options rest; do case $point in /data*) echo "\${options%%,*} $point";; esac; done </proc/self/mountinfo`;
      const lines = (await inRoot(below, mounts)).split('\n');
      expect(lines.length).toBeGreaterThan(1);
      expect(lines.filter((l) => !l.startsWith('ro /data'))).toEqual([]);
      expect(await inRoot('touch /data/x 2>&1 || true', mounts)).toBe('touch: /data/x: Read-only file system');
    });

    it('bind without what is mounted below, where that may be seen', async () => {
      const mounts: Mount[] = [{ type: 'bind', source: makeTempDir('bind'), target: '/data', recursive: false }];
      expect(await inRoot('ls /data | wc -l', mounts)).toBe('0');
    });

    it('in the order in which they are given', async () => {
      const mounts: Mount[] = [
        { type: 'tmpfs', target: '/data' },
        { type: 'tmpfs', target: '/data/inner', mode: 0o700 },
      ];
      expect(await inRoot('stat -c %a /data/inner', mounts)).toBe('700');
    });

    it('cannot be led out of the root by a link', async () => {
      const dir = makeShellRoot();
      symlinkSync('../../../../../../tmp', path.join(dir, 'out'));
      symlinkSync('/nowhere/at/all', path.join(dir, 'dangling'));
      const o: Partial<SpawnOptions> = { root: rootOf(dir) };
      // The link leads to the root's own /tmp.
      expect(await inRoot('ls /tmp', [{ type: 'tmpfs', target: '/out/ctr-test-canary' }], o)).toBe('ctr-test-canary');
      expect(() => readFileSync('/tmp/ctr-test-canary')).toThrow('ENOENT');
    });

    it('masks files and folders, of the kernel and of the image', async () => {
      const dir = makeShellRoot();
      mkdirSync(path.join(dir, 'etc/folder'));
      writeFileSync(path.join(dir, 'etc/folder/secret'), 'secret');
      writeFileSync(path.join(dir, 'etc/file'), 'secret');
      const maskedPaths = ['/proc/meminfo', '/proc/sys/kernel', '/proc/not-there', '/etc/folder', '/etc/file', '/etc/missing'];
      const line =
        'cat /proc/meminfo /etc/file | wc -c; ls /proc/sys/kernel /etc/folder; touch /etc/folder/x 2>&1; test -e /etc/missing || echo none';
      expect(await inRoot(line, [], { root: rootOf(dir), maskedPaths })).toBe(
        '0\n/etc/folder:\n\n/proc/sys/kernel:\ntouch: /etc/folder/x: Read-only file system\nnone',
      );
    });

    it('makes paths read-only', async () => {
      const o = { readonlyPaths: ['/proc/sys', '/proc/not-there', '/etc'] };
      const line = 'touch /etc/x 2>&1; echo x 2>&1 >/proc/sys/kernel/hostname; touch /tmp/x && echo ok';
      expect(await inRoot(line, [{ type: 'tmpfs', target: '/tmp' }], o)).toBe(
        "touch: /etc/x: Read-only file system\n/bin/sh: can't create /proc/sys/kernel/hostname: Read-only file system\nok",
      );
    });

    it('a root’s host name, ipc and network are not the host’s', async () => {
      expect(await inRoot('hostname; ls /sys', [], { hostname: 'inner' })).toBe('inner');
    });

    it.skipIf(!asRoot)(root.title('a folder and a file may be given as descriptors'), async () => {
      const dir = makeTempDir('fd');
      chmodSync(dir, 0o755);
      writeFileSync(path.join(dir, 'file'), 'by descriptor');
      using folder = Fd.of(openSync(dir, 'r'));
      using file = Fd.of(openSync(path.join(dir, 'file'), 'r'));
      const mounts: Mount[] = [
        { type: 'bind', source: folder, target: '/data' },
        { type: 'tmpfs', target: '/tmp' },
        { type: 'bind', source: file, target: '/tmp/file', readOnly: true },
      ];
      expect(await inRoot('cat /data/file /tmp/file; echo x 2>&1 >/tmp/file || true', mounts)).toBe(
        "by descriptorby descriptor/bin/sh: can't create /tmp/file: Read-only file system",
      );
      expect([folder.closed, file.closed]).toEqual([false, false]);
    });

    it.skipIf(!ordinary.ok)(ordinary.title('a descriptor is refused with the cure'), async () => {
      using source = Fd.of(openSync('/', 'r'));
      const message = await messageOf(inRoot('true', [{ type: 'bind', source, target: '/data' }]));
      expect(message.replace(/fd \d+/, 'fd N')).toMatchInlineSnapshot(`
        "start /bin/sh: mount fd N on /data: open_tree: EPERM (operation not permitted)
          mount1 = open_tree(mount1.source, "", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH|AT_RECURSIVE)
          hint: without root a folder is mounted by its path, not by a descriptor"
      `);
    });

    it('the working directory is one of the root, and no magic link', async () => {
      expect(await inRoot('pwd', [], { cwd: '/etc' })).toBe('/etc');
      expect(await inRoot('pwd', [{ type: 'tmpfs', target: '/tmp' }], { cwd: '/tmp/new/one', createCwd: true })).toBe('/tmp/new/one');
      const opened = openSync('/', 'r');
      const message = await messageOf(inRoot('pwd', [], { cwd: '/proc/self/fd/0' }));
      closeSync(opened);
      expect(message.split('\n').at(-1)).toBe('  hint: the path leads through a magic link of /proc, which is not followed');
    });

    it('a program of the host cannot be run', async () => {
      const r = run({ args: ['/usr/bin/env'], namespaces, root: rootOf(rootDir) });
      expect(await messageOf(r)).toMatchInlineSnapshot(`
        "start /usr/bin/env: run /usr/bin/env: execve: ENOENT (no such file or directory)
          execve("/usr/bin/env", ["/usr/bin/env"], [1 variables])
          hint: there is no /usr/bin/env inside, or the interpreter or loader that it names is missing; paths and PATH are those of the new root"
      `);
    });
  });
});
