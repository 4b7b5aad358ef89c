// Options to OCI object, for root and for an ordinary user; the whole object is looked at.
import { describe, expect, it } from 'vitest';
import { readRunOptions } from '../options/read-options.js';
import type { RunOptions } from '../options/run-options.js';
import { type CompileInput, compileOci } from './compile.js';
import { ID, ROOT_HOST, ROOT_USER, USER_HOST } from './fixtures.js';
import type { OciSpec } from './types.js';

const compile = (options: RunOptions, more: Partial<CompileInput> = {}): OciSpec =>
  compileOci({
    spec: readRunOptions(options),
    id: ID,
    image: { Cmd: ['bash'], Env: ['LANG=C.UTF-8'], WorkingDir: 'srv' },
    rootPath: '/store/layers/sha256/aa',
    user: ROOT_USER,
    host: ROOT_HOST,
    cgroupsPath: `/ctr.0000000000000000/${ID}`,
    ...more,
  });

/** The filter has tests of its own in @ctr/namespaces. */
const withoutFilter = (oci: OciSpec): OciSpec => ({ ...oci, linux: { ...oci.linux, seccomp: { defaultAction: 'SCMP_ACT_ERRNO' } } });

describe('compileOci', () => {
  it('makes a safe container of nothing but an image', () =>
    expect(withoutFilter(compile({ image: 'debian:12' }))).toMatchInlineSnapshot(`
    {
      "annotations": {},
      "hostname": "0123456789ab",
      "linux": {
        "cgroupsPath": "/ctr.0000000000000000/0123456789abcdef0123456789abcdef",
        "maskedPaths": [
          "/proc/acpi",
          "/proc/asound",
          "/proc/dynamic_debug",
          "/proc/interrupts",
          "/proc/kallsyms",
          "/proc/kcore",
          "/proc/keys",
          "/proc/kpagecgroup",
          "/proc/kpagecount",
          "/proc/kpageflags",
          "/proc/latency_stats",
          "/proc/sched_debug",
          "/proc/scsi",
          "/proc/timer_list",
          "/proc/timer_stats",
          "/proc/vmallocinfo",
          "/sys/devices/virtual/powercap",
          "/sys/firmware",
          "/sys/fs/bpf",
          "/sys/fs/selinux",
          "/sys/kernel/debug",
          "/sys/kernel/security",
          "/sys/kernel/tracing",
        ],
        "namespaces": [
          {
            "type": "pid",
          },
          {
            "type": "mount",
          },
          {
            "type": "network",
          },
          {
            "type": "ipc",
          },
          {
            "type": "uts",
          },
          {
            "type": "cgroup",
          },
        ],
        "readonlyPaths": [
          "/proc/bus",
          "/proc/fs",
          "/proc/irq",
          "/proc/sys",
          "/proc/sysrq-trigger",
        ],
        "resources": {
          "devices": [
            {
              "access": "rwm",
              "allow": false,
            },
            {
              "access": "rwm",
              "allow": true,
              "major": 1,
              "minor": 3,
              "type": "c",
            },
            {
              "access": "rwm",
              "allow": true,
              "major": 1,
              "minor": 5,
              "type": "c",
            },
            {
              "access": "rwm",
              "allow": true,
              "major": 1,
              "minor": 7,
              "type": "c",
            },
            {
              "access": "rwm",
              "allow": true,
              "major": 1,
              "minor": 8,
              "type": "c",
            },
            {
              "access": "rwm",
              "allow": true,
              "major": 1,
              "minor": 9,
              "type": "c",
            },
            {
              "access": "rwm",
              "allow": true,
              "major": 5,
              "minor": 0,
              "type": "c",
            },
            {
              "access": "rwm",
              "allow": true,
              "major": 5,
              "minor": 2,
              "type": "c",
            },
            {
              "access": "rwm",
              "allow": true,
              "major": 136,
              "type": "c",
            },
          ],
          "pids": {
            "limit": 1024,
          },
        },
        "seccomp": {
          "defaultAction": "SCMP_ACT_ERRNO",
        },
      },
      "mounts": [
        {
          "destination": "/proc",
          "options": [
            "nosuid",
            "noexec",
            "nodev",
          ],
          "source": "proc",
          "type": "proc",
        },
        {
          "destination": "/dev",
          "options": [
            "nosuid",
            "strictatime",
            "mode=755",
            "size=65536k",
          ],
          "source": "tmpfs",
          "type": "tmpfs",
        },
        {
          "destination": "/dev/pts",
          "options": [
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
          ],
          "source": "devpts",
          "type": "devpts",
        },
        {
          "destination": "/dev/shm",
          "options": [
            "nosuid",
            "noexec",
            "nodev",
            "mode=1777",
            "size=65536k",
          ],
          "source": "shm",
          "type": "tmpfs",
        },
        {
          "destination": "/dev/mqueue",
          "options": [
            "nosuid",
            "noexec",
            "nodev",
          ],
          "source": "mqueue",
          "type": "mqueue",
        },
        {
          "destination": "/sys",
          "options": [
            "nosuid",
            "noexec",
            "nodev",
            "ro",
          ],
          "source": "sysfs",
          "type": "sysfs",
        },
        {
          "destination": "/sys/fs/cgroup",
          "options": [
            "nosuid",
            "noexec",
            "nodev",
            "ro",
          ],
          "source": "cgroup",
          "type": "cgroup",
        },
      ],
      "ociVersion": "1.3.0",
      "process": {
        "args": [
          "bash",
        ],
        "capabilities": {
          "ambient": [],
          "bounding": [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FOWNER",
            "CAP_FSETID",
            "CAP_KILL",
            "CAP_SETGID",
            "CAP_SETUID",
            "CAP_SETPCAP",
            "CAP_NET_BIND_SERVICE",
            "CAP_SYS_CHROOT",
            "CAP_SETFCAP",
          ],
          "effective": [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FOWNER",
            "CAP_FSETID",
            "CAP_KILL",
            "CAP_SETGID",
            "CAP_SETUID",
            "CAP_SETPCAP",
            "CAP_NET_BIND_SERVICE",
            "CAP_SYS_CHROOT",
            "CAP_SETFCAP",
          ],
          "inheritable": [],
          "permitted": [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FOWNER",
            "CAP_FSETID",
            "CAP_KILL",
            "CAP_SETGID",
            "CAP_SETUID",
            "CAP_SETPCAP",
            "CAP_NET_BIND_SERVICE",
            "CAP_SYS_CHROOT",
            "CAP_SETFCAP",
          ],
        },
        "cwd": "/srv",
        "env": [
          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "HOSTNAME=0123456789ab",
          "LANG=C.UTF-8",
          "HOME=/root",
        ],
        "noNewPrivileges": true,
        "rlimits": [
          {
            "hard": 0,
            "soft": 0,
            "type": "RLIMIT_CORE",
          },
          {
            "hard": 524288,
            "soft": 1024,
            "type": "RLIMIT_NOFILE",
          },
          {
            "hard": 8388608,
            "soft": 8388608,
            "type": "RLIMIT_MEMLOCK",
          },
        ],
        "terminal": false,
        "user": {
          "additionalGids": [
            0,
          ],
          "gid": 0,
          "uid": 0,
          "umask": 18,
        },
      },
      "root": {
        "path": "/store/layers/sha256/aa",
        "readonly": false,
      },
    }
  `));

  it('gives an ordinary user a user namespace with its own id', () => {
    const { process, linux, mounts } = compile({ image: 'a' }, { host: USER_HOST, cgroupsPath: undefined });
    expect({
      namespaces: linux.namespaces.map((n) => n.type),
      uid: linux.uidMappings,
      gid: linux.gidMappings,
      resources: linux.resources,
    }).toMatchInlineSnapshot(`
      {
        "gid": [
          {
            "containerID": 0,
            "hostID": 1000,
            "size": 1,
          },
        ],
        "namespaces": [
          "pid",
          "mount",
          "network",
          "ipc",
          "uts",
          "cgroup",
          "user",
        ],
        "resources": undefined,
        "uid": [
          {
            "containerID": 0,
            "hostID": 1000,
            "size": 1,
          },
        ],
      }
    `);
    // Group 5 does not exist there, and every capability is to be had.
    expect(mounts.find((m) => m.type === 'devpts')?.options).toMatchInlineSnapshot(`
      [
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
      ]
    `);
    expect(process.capabilities?.bounding).toHaveLength(11);
  });

  it('takes the words of the options', () => {
    const oci = compile({
      image: 'a',
      command: ['server', '--port', '80'],
      entrypoint: ['/init'],
      env: { LANG: undefined, DEBUG: '1' },
      cwd: '/srv',
      hostname: 'web',
      domainname: 'example',
      labels: { team: 'red' },
      readOnly: true,
      resources: { memory: '100m', memorySwap: '50m', cpus: 0.5, cpuWeight: 200, pids: 64, devices: 'all' },
      ulimits: { nofile: 100, core: 'unlimited' },
      oomScoreAdj: 500,
      capabilities: { drop: 'all', add: ['NET_BIND_SERVICE'] },
      noNewPrivileges: false,
      seccomp: 'unconfined',
      network: 'host',
      mounts: [
        { type: 'bind', source: '/data/deep', target: '/data/deep/er' },
        { type: 'bind', source: '/data', target: '/data', readOnly: true, recursive: false, noexec: true, propagation: 'slave' },
      ],
      tmpfs: { '/tmp': '64m', '/dev/shm': { size: '1g', mode: 0o700 } },
      maskedPaths: [],
      readonlyPaths: ['/proc/sys'],
    });
    expect(oci).toMatchInlineSnapshot(`
      {
        "annotations": {
          "team": "red",
        },
        "domainname": "example",
        "hostname": "web",
        "linux": {
          "cgroupsPath": "/ctr.0000000000000000/0123456789abcdef0123456789abcdef",
          "maskedPaths": [],
          "namespaces": [
            {
              "type": "pid",
            },
            {
              "type": "mount",
            },
            {
              "type": "ipc",
            },
            {
              "type": "uts",
            },
            {
              "type": "cgroup",
            },
          ],
          "readonlyPaths": [
            "/proc/sys",
          ],
          "resources": {
            "cpu": {
              "period": 100000,
              "quota": 50000,
            },
            "memory": {
              "limit": 104857600,
              "swap": 157286400,
            },
            "pids": {
              "limit": 64,
            },
            "unified": {
              "cpu.weight": "200",
            },
          },
        },
        "mounts": [
          {
            "destination": "/proc",
            "options": [
              "nosuid",
              "noexec",
              "nodev",
            ],
            "source": "proc",
            "type": "proc",
          },
          {
            "destination": "/dev",
            "options": [
              "nosuid",
              "strictatime",
              "mode=755",
              "size=65536k",
            ],
            "source": "tmpfs",
            "type": "tmpfs",
          },
          {
            "destination": "/dev/pts",
            "options": [
              "nosuid",
              "noexec",
              "newinstance",
              "ptmxmode=0666",
              "mode=0620",
              "gid=5",
            ],
            "source": "devpts",
            "type": "devpts",
          },
          {
            "destination": "/dev/mqueue",
            "options": [
              "nosuid",
              "noexec",
              "nodev",
            ],
            "source": "mqueue",
            "type": "mqueue",
          },
          {
            "destination": "/sys",
            "options": [
              "rbind",
              "rprivate",
              "rnosuid",
              "rnoexec",
              "rnodev",
              "rro",
            ],
            "source": "/sys",
            "type": "bind",
          },
          {
            "destination": "/data",
            "options": [
              "bind",
              "slave",
              "nosuid",
              "nodev",
              "noexec",
              "ro",
            ],
            "source": "/data",
            "type": "bind",
          },
          {
            "destination": "/tmp",
            "options": [
              "nosuid",
              "nodev",
              "noexec",
              "mode=1777",
              "size=67108864",
              "rw",
            ],
            "source": "tmpfs",
            "type": "tmpfs",
          },
          {
            "destination": "/dev/shm",
            "options": [
              "nosuid",
              "nodev",
              "noexec",
              "mode=0700",
              "size=1073741824",
              "rw",
            ],
            "source": "tmpfs",
            "type": "tmpfs",
          },
          {
            "destination": "/data/deep/er",
            "options": [
              "rbind",
              "rprivate",
              "rnosuid",
              "rnodev",
            ],
            "source": "/data/deep",
            "type": "bind",
          },
        ],
        "ociVersion": "1.3.0",
        "process": {
          "args": [
            "/init",
            "server",
            "--port",
            "80",
          ],
          "capabilities": {
            "ambient": [],
            "bounding": [
              "CAP_NET_BIND_SERVICE",
            ],
            "effective": [
              "CAP_NET_BIND_SERVICE",
            ],
            "inheritable": [],
            "permitted": [
              "CAP_NET_BIND_SERVICE",
            ],
          },
          "cwd": "/srv",
          "env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOSTNAME=web",
            "HOME=/root",
            "DEBUG=1",
          ],
          "noNewPrivileges": false,
          "oomScoreAdj": 500,
          "rlimits": [
            {
              "hard": 18446744073709552000,
              "soft": 18446744073709552000,
              "type": "RLIMIT_CORE",
            },
            {
              "hard": 100,
              "soft": 100,
              "type": "RLIMIT_NOFILE",
            },
            {
              "hard": 8388608,
              "soft": 8388608,
              "type": "RLIMIT_MEMLOCK",
            },
          ],
          "terminal": false,
          "user": {
            "additionalGids": [
              0,
            ],
            "gid": 0,
            "uid": 0,
            "umask": 18,
          },
        },
        "root": {
          "path": "/store/layers/sha256/aa",
          "readonly": true,
        },
      }
    `);
  });

  it("has Docker's defaults when asked", () => {
    const { process, linux } = compile({ image: 'a', preset: 'docker' });
    expect([process.capabilities?.bounding?.length, process.noNewPrivileges, process.rlimits, linux.resources?.pids]).toEqual([
      14,
      false,
      [],
      undefined,
    ]);
  });

  it('joins namespaces by path', () =>
    expect(compile({ image: 'a', namespaces: { network: '/proc/7/ns/net', ipc: 'host' } }).linux.namespaces).toMatchInlineSnapshot(`
      [
        {
          "type": "pid",
        },
        {
          "type": "mount",
        },
        {
          "path": "/proc/7/ns/net",
          "type": "network",
        },
        {
          "type": "uts",
        },
        {
          "type": "cgroup",
        },
      ]
    `));

  it('cuts defaults to what the host has, and keeps what was asked for', () => {
    const host = { ...ROOT_HOST, hardLimits: { nofile: 512 }, capabilities: ['CAP_KILL'], controllers: {} };
    const oci = compile({ image: 'a', capabilities: { add: ['SYS_TIME'] } }, { host });
    expect([
      oci.process.rlimits?.find((r) => r.type === 'RLIMIT_NOFILE'),
      oci.process.capabilities?.bounding,
      oci.linux.resources,
    ]).toMatchInlineSnapshot(`
      [
        {
          "hard": 512,
          "soft": 512,
          "type": "RLIMIT_NOFILE",
        },
        [
          "CAP_KILL",
          "CAP_SYS_TIME",
        ],
        undefined,
      ]
    `);
  });
});

describe('what cannot be', () => {
  it('needs a command from somewhere', () =>
    expect(() => compile({ image: 'a' }, { image: {} })).toThrow(
      'expected "command" to be given: the image names neither a command nor an entrypoint',
    ));

  it('needs ids that are mapped', () =>
    expect(() =>
      compile(
        {
          image: 'a',
          userns: { uidMap: [{ containerId: 0, hostId: 1000, size: 1 }], gidMap: [{ containerId: 0, hostId: 1000, size: 1 }] },
        },
        { user: { ...ROOT_USER, uid: 7 } },
      ),
    ).toThrowErrorMatchingInlineSnapshot(
      `[InvalidArgumentError: expected "user" to be an id that the user namespace maps (0 to 0), received 7 (number)]`,
    ));

  const SUBIDS = {
    uid: [{ start: 100_000, size: 65_536 }],
    gid: [{ start: 200_000, size: 65_536 }],
    newuidmap: '/usr/bin/newuidmap',
    newgidmap: '/usr/bin/newgidmap',
    missing: undefined,
  };
  const other = { ...ROOT_USER, uid: 1000, gid: 1000, groups: [7] };
  const mapsOf = ({ linux }: ReturnType<typeof compile>) => [linux.uidMappings, linux.gidMappings];

  it('has only one id for an ordinary user without ranges, and says what an administrator does', () =>
    expect(() =>
      compile({ image: 'a' }, { host: { ...USER_HOST, subIds: { ...SUBIDS, missing: { why: 'no line', cure: 'add one' } } }, user: other }),
    ).toThrowErrorMatchingInlineSnapshot(`
      [UnsupportedError: user 1000:1000 without root is not available here: it needs a range of ids in /etc/subuid and /etc/subgid, found no line
        hint: add one; or give user: '0', which is this user's own id, outside]
    `));

  it('has the ranges for an ordinary user who wants to be somebody else inside, with groups', () => {
    const oci = compile({ image: 'a' }, { host: { ...USER_HOST, subIds: SUBIDS }, user: other });
    expect(oci.linux.uidMappings?.slice(1)).toEqual([{ containerID: 1, hostID: 100_000, size: 65_536 }]);
    expect(oci.linux.gidMappings?.slice(1)).toEqual([{ containerID: 1, hostID: 200_000, size: 65_536 }]);
    expect(oci.process.user).toMatchObject({ uid: 1000, additionalGids: [1000, 7] });
  });

  it('auto: the ranges where there are some, else one id; keep-id wants them', () => {
    const without = { ...USER_HOST, subIds: { ...SUBIDS, missing: { why: 'no line', cure: 'add one' } } };
    expect(compile({ image: 'a', userns: 'auto' }, { host: { ...USER_HOST, subIds: SUBIDS } }).linux.uidMappings).toHaveLength(2);
    expect(compile({ image: 'a', userns: 'auto' }, { host: without }).linux.uidMappings).toEqual([
      { containerID: 0, hostID: 1000, size: 1 },
    ]);
    expect(() => compile({ image: 'a', userns: 'keep-id' }, { host: without })).toThrow('a range of ids in /etc/subuid');
  });

  it('auto for root: the range that was claimed for the container', () => {
    const map = [{ containerId: 0, hostId: 655_360, size: 65_536 }];
    const oci = [{ containerID: 0, hostID: 655_360, size: 65_536 }];
    expect(mapsOf(compile({ image: 'a', userns: 'auto' }, { idMaps: { uid: map, gid: map } }))).toEqual([oci, oci]);
    expect(() => compile({ image: 'a', userns: 'keep-id' })).toThrow('userns "keep-id" for a privileged user');
  });

  it('refuses groups that an ordinary user cannot have', () =>
    expect(() => compile({ image: 'a', user: { uid: 0, groups: [5] } }, { host: USER_HOST, user: { ...ROOT_USER, groups: [5] } })).toThrow(
      'supplementary groups is not available here',
    ));
});
