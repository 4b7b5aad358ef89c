// OCI's `process` and `linux` fields, set by the `spec` hook and by options, read from inside.
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { leakCheck, makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OciProcess, type OciSpec, type RunOptions, runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

const n = need('busybox', process.getuid?.() === 0 ? 'root' : 'overlay-in-userns');
const asRoot = process.getuid?.() === 0;
/** A zombie whose parent is PID 1 is of another test's Node, and for PID 1 to reap. */
const ZOMBIE = /\(Z, child of 1\)/;

const editing = (edit: (oci: OciSpec) => void) => (oci: OciSpec) => {
  edit(oci);
  return oci;
};

/** Without a user namespace of its own, which an ordinary user's container cannot do without. */
const hostUsers: RunOptions = asRoot ? { userns: 'host' } : {};

describe.skipIf(!n.ok)(n.title('OCI fields'), () => {
  let rootfs = '';
  let leaks: ReturnType<typeof leakCheck>;
  const run = (script: string, edit: (oci: OciSpec) => void, options: RunOptions = {}) =>
    runContainer({ rootfs, command: ['sh', '-c', script], spec: editing(edit), ...options });

  beforeAll(async () => {
    rootfs = busyboxRoot();
    for (const applet of ['uname', 'nice', 'ionice', 'chrt', 'wc', 'tail']) symlinkSync('busybox', path.join(rootfs, 'bin', applet));
    await run('true', () => {}).result();
    leaks = leakCheck({ ignore: ZOMBIE });
  });
  afterAll(() => leaks?.assertClean());

  it('scheduler, I/O priority, personality and memory policy, of the container and of exec', async () => {
    await using box = await runContainer({
      rootfs,
      command: ['sleep', '1000'],
      spec: (oci) => {
        oci.process.scheduler = { policy: 'SCHED_BATCH', nice: 19 };
        oci.process.ioPriority = { class: 'IOPRIO_CLASS_IDLE' };
        oci.process.execCPUAffinity = { initial: '0', final: '0' };
        oci.linux.personality = { domain: 'LINUX32' };
        oci.linux.memoryPolicy = { mode: 'MPOL_BIND', nodes: '0' };
        return oci;
      },
    });
    const inside = (line: string): Promise<string> => box.exec(['sh', '-c', line]).text();
    const machine = process.arch === 'x64' ? 'i686' : 'armv8l';
    expect(
      await inside(
        'set -- $(cat /proc/1/stat); shift 18; echo $1; shift 22; echo $1; ionice -p $$; uname -m; head -n 1 /proc/self/numa_maps; cat /proc/1/personality',
      ),
    ).toMatch(new RegExp(`^19\n3\n.*idle.*\n${machine}\n.* bind:0 .*\n00000008\n$`, 's'));
    expect(await inside('grep Cpus_allowed_list /proc/self/status')).toBe('Cpus_allowed_list:\t0\n');
  });

  it('sysctls, devices, propagation of the root, a terminal with its size', async () => {
    const tty = { columns: 70, rows: 20 };
    // A device that the host does not have can be made in the host's user namespace only.
    const options: RunOptions = { sysctls: { 'net.ipv4.ip_forward': '1' }, tty, ...hostUsers };
    const text = await run(
      'cat /proc/sys/net/ipv4/ip_forward; stat -c "%F %t:%T" /dev/full; while read a b c d point o tags rest; do [ $point = / ] && echo $tags; done </proc/self/mountinfo; true',
      (oci) => {
        oci.linux.rootfsPropagation = 'shared';
        oci.linux.devices = asRoot
          ? [{ path: '/dev/mine', type: 'c', major: 1, minor: 7 }]
          : [{ path: '/dev/full', type: 'c', major: 1, minor: 7 }];
      },
      options,
    ).text();
    expect(text).toMatch(/^1\r\ncharacter special file 1:7\r\nshared:\d+\r\n$/);
  });

  it('clocks of a time namespace, of exec too, and no capability where a set is left out', async () => {
    await using box = await runContainer({
      rootfs,
      command: ['sleep', '1000'],
      namespaces: { time: 'new' },
      spec: editing((oci) => {
        oci.linux.timeOffsets = { boottime: { secs: 864_000, nanosecs: 5 }, monotonic: { secs: -1 } };
        oci.process.capabilities = { bounding: ['CAP_CHOWN'] };
      }),
    });
    const [outside = 0] = readFileSync('/proc/uptime', 'utf8').split('.').map(Number);
    const text = await box.exec(['sh', '-c', 'cat /proc/uptime; grep Cap /proc/1/status']).text();
    expect(Number.parseInt(text, 10) - outside).toBeGreaterThanOrEqual(864_000);
    expect(text).toMatch(/CapInh:\t0+\nCapPrm:\t0+\nCapEff:\t0+\nCapBnd:\t0+1\nCapAmb:\t0+\n$/);
  });

  it('words of mounts', async () => {
    const line =
      'while read a b c d point o rest; do case $point in /mnt*|/etc) echo "$point $o";; esac; done </proc/self/mountinfo; ls /etc';
    const text = await run(line, (oci) => {
      oci.mounts.push(
        { destination: '/mnt', type: 'tmpfs', source: 'tmpfs', options: ['nodiratime', 'nr_inodes=10'] },
        { destination: '/mnt', options: ['remount', 'bind', 'ro', 'noexec'] },
        { destination: '/mnt2', source: path.join(rootfs, 'etc'), options: ['rbind', 'rro', 'rnosuid'] },
        { destination: '/etc', type: 'tmpfs', source: 'tmpfs', options: ['tmpcopyup'] },
      );
    }).text();
    expect(text).toMatch(/(^|\n)\/mnt ro,noexec,(relatime,nodiratime|nodiratime,relatime)\n/);
    // What the options do not name is that of the mount where the folder lies.
    expect(text).toMatch(/(^|\n)\/mnt2 ro,nosuid,(?:relatime|noatime)(,idmapped)?\n/);
    expect(text).toMatch(/\ngroup\n(?:.*\n)*passwd\n/);
  });

  it('words for /dev and terminals, words of file systems, and plain words of a bind for the mount alone', async () => {
    const line =
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own.
      'while read a b c d point o rest; do case $point in /dev|/dev/pts|/mnt*) echo "$point $o ${rest#*- }";; esac; done </proc/self/mountinfo; touch /dev/x 2>&1; true';
    const edit = (oci: OciSpec): void => {
      const words: Record<string, string[]> = { '/dev': ['nosuid', 'ro', 'size=1m', 'mode=750'], '/dev/pts': ['mode=600', 'ptmxmode=600'] };
      oci.mounts = oci.mounts.map((m) => ({ ...m, options: words[m.destination] ?? m.options ?? [] }));
      oci.mounts.push(
        { destination: '/mnt', type: 'tmpfs', source: 'mine', options: ['defaults', 'nosuid', 'suid', 'sync', 'noatime', 'nr_inodes=20'] },
        { destination: '/mnt2', type: 'ramfs', source: 'mine', options: ['ro', 'nodev', 'rw'] },
        { destination: '/mnt3', source: '/dev', options: ['rbind', 'ro', 'silent', 'lazytime'] },
      );
    };
    const seen = (await run(line, edit, hostUsers).text()).split('\n');
    const of = (point: string): string[] => seen.filter((l) => l.startsWith(`${point} `)).map((l) => l.slice(point.length + 1));
    expect(of('/dev')[0]).toMatch(/^ro,nosuid,noexec,relatime tmpfs tmpfs rw,size=1024k,mode=750/);
    expect(of('/dev/pts')[0]).toMatch(/^rw,relatime devpts devpts rw,.*mode=600,ptmxmode=600$/);
    expect(of('/mnt')[0]).toMatch(/^rw,noatime tmpfs tmpfs rw,sync,nr_inodes=20/);
    expect(of('/mnt2')).toEqual(['rw,nodev,relatime ramfs mine rw']);
    expect(of('/mnt3')[0]).toMatch(/^ro,/);
    expect(seen.filter((l) => /^\/mnt3\/\S+ rw,/.test(l)).length).toBeGreaterThan(0);
    expect(seen.slice(-2)).toEqual(['touch: /dev/x: Read-only file system', '']);
  });

  it('words that no mount has are the kernel’s to refuse, by its file system', async () => {
    const mount = (type: string, ...options: string[]) =>
      run('true', (oci) => void oci.mounts.push({ destination: '/mnt', type, source: 'mine', options })).then(
        () => 'ran',
        (e: unknown) => (e as Error).message,
      );
    expect(await mount('tmpfs', 'colour=red')).toMatch(/fsconfig\(mount\d+\.fs, FSCONFIG_SET_STRING, "colour", "red", 0\)/);
    expect(await mount('nosuchfs')).toContain('fsopen: ENODEV');
    expect(await mount('bind', 'size=1m')).toContain('a bind has no file system of its own');
  });

  const maps = (disk: number, shown: number) => [{ containerID: disk, hostID: shown, size: 1 }];

  it.skipIf(!asRoot)(need('root').title('mounts with maps of ids of their own, for one mount or all below'), async () => {
    const folder = makeTempDir('owned');
    chmodSync(folder, 0o755);
    mkdirSync(path.join(folder, 'inner'));
    writeFileSync(path.join(folder, 'file'), '', { mode: 0o666 });
    chownSync(path.join(folder, 'file'), 1000, 1001);
    const own = { uidMappings: maps(1000, 4242), gidMappings: maps(1001, 4343) };
    for (const words of [[], ['idmap'], ['ridmap']]) {
      const text = await run(
        "stat -c '%u:%g' /owned/file /plain/file; touch /owned/file && stat -c %u /owned/inner",
        (oci) => {
          oci.mounts.push(
            { destination: '/owned', source: folder, options: ['rbind', ...words], ...own },
            { destination: '/plain', source: folder, options: ['bind'] },
          );
        },
        hostUsers,
      ).text();
      // What no map names belongs to nobody.
      expect(text).toBe('4242:4343\n1000:1001\n65534\n');
    }
  });

  it('maps of ids that cannot be are refused before anything is made', async () => {
    const attempt = (mount: Partial<OciSpec['mounts'][number]>): Promise<unknown> =>
      run(
        'true',
        (oci) => {
          oci.mounts.push({ destination: '/mapped', source: rootfs, options: ['bind'], ...mount });
        },
        hostUsers,
      ).result();
    await expect(attempt({ uidMappings: maps(0, 5) })).rejects.toThrow('mounts[/mapped].gidMappings');
    const own = { uidMappings: maps(0, 5), gidMappings: maps(0, 5) };
    await expect(attempt({ ...own, type: 'tmpfs', options: [] })).rejects.toThrow(
      'expected "mounts[/mapped].uidMappings" to be given for a bind',
    );
    // An ordinary user has a user namespace always, but none that could map a bind.
    await expect(attempt({ options: ['bind', 'idmap'] })).rejects.toThrow('mounts[/mapped].options');
  });

  it('init: a first process that reaps', async () => {
    const started = await runContainer({ rootfs, command: ['sh', '-c', 'echo $$; cat /proc/1/comm; exit 5'], init: true }).result();
    expect([started.stdout, started.exitCode]).toEqual(['2\nctr-init\n', 5]);
    await using box = await runContainer({ rootfs, command: ['sleep', '1000'], init: true });
    expect((await box.stop({ timeout: '5s' })).exitCode).toBe(128 + 15);
    expect(
      (
        await runContainer({ rootfs, command: ['nothing'], init: true })
          .result()
          .catch((e) => e)
      ).message,
    ).toContain('nothing');
  });

  it('a further program has attributes of its own', async () => {
    await using box = await runContainer({ rootfs, command: ['sleep', '100'], stdout: 'ignore', stderr: 'ignore' });
    const command = [
      'sh',
      '-c',
      'grep -E "^(CapBnd|CapEff|NoNewPrivs)" /proc/self/status; ulimit -n; cut -d " " -f 19 /proc/self/stat; umask; pwd',
    ];
    const usual = await box.exec(command).text();
    const own = await box
      .exec(command, {
        process: (process) => {
          const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
          return {
            ...process,
            cwd: '/tmp',
            capabilities: none,
            rlimits: [{ type: 'RLIMIT_NOFILE', soft: 77, hard: 77 }],
            scheduler: { policy: 'SCHED_OTHER', nice: 7 },
            user: { ...process.user, umask: 0o77 },
          };
        },
      })
      .text();
    expect(own).toBe('CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n77\n7\n0077\n/tmp\n');
    expect(usual).not.toBe(own);
    expect(await box.exec(command).text()).toBe(usual);
    const refused = (change: (p: OciProcess) => void) =>
      box.exec(['true'], { process: (p) => void change(p) }).then(
        () => 'ran',
        (e: unknown) => (e as Error).message,
      );
    expect(await refused((p) => Object.assign(p, { rlimit: [] }))).toMatch(/"process\(\)\.rlimit" to be a known/);
    expect(await refused((p) => Object.assign(p, { terminal: true }))).toContain('"process().terminal" to be as it was');
    expect(
      await refused(() => {
        throw new Error('no');
      }),
    ).toContain('"process" to be a function that returns an OCI object');
  });

  it('labels are refused where the kernel has none', async () => {
    const { message } = await run('true', (oci) => {
      oci.process.selinuxLabel = 'system_u:system_r:container_t:s0';
    })
      .result()
      .then(
        () => ({ message: 'selinuxLabel is not available here' }),
        (e) => e,
      );
    expect(message).toContain('selinuxLabel is not available here');
    const mounts = await run('true', (oci) => {
      oci.linux.mountLabel = 'system_u:object_r:container_file_t:s0';
    })
      .result()
      .then(
        () => ({ message: 'mountLabel is not available here' }),
        (e) => e,
      );
    expect(mounts.message).toContain('mountLabel is not available here');
  });
});
