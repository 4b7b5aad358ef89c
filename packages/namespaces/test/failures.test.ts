// Every kind of step is made to fail once: the whole message is read, and nothing may be left.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { named, type Step, slot } from '@ctr/internal/steps';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeCapset } from '../src/capabilities.js';
import { closeLauncher } from '../src/hold.js';
import { type CapabilityName, type SpawnOptions, StartError, SyscallError, spawn } from '../src/index.js';
import { Launcher } from '../src/launcher/launcher.js';
import { planSource } from '../src/plan/plan-source.js';
import { describeSpawn } from '../src/spawn/compile-spawn.js';
import { executePlan } from '../src/spawn/execute-plan.js';
import { AT_FDCWD, atFlags, mountAttrBytes } from '../src/steps/flags.js';
import { formatIdMaps } from '../src/userns/id-map.js';
import { asRoot, ENV, leaks, messageOf, run, WAYS } from './run.js';
import { makeShellRoot, rootOf } from './shell-root.js';

const needs = need('userns', 'busybox');
const ordinary = need('ordinary-user');
const root = need('root');
const user = asRoot ? 'host' : 'new';
const namespaces = { user, mount: 'new', pid: 'new', uts: 'new' } as const;

/** Steps of a root that never comes to be. */
const failing = (...steps: Step[]): Partial<SpawnOptions> => ({ namespaces, root: { steps, slot: 'root' } });

describe.skipIf(!needs.ok)(needs.title('a step that fails'), () => {
  let dir: string;
  beforeAll(() => {
    dir = makeShellRoot();
  });
  const messageFor = async (o: Partial<SpawnOptions>): Promise<string> =>
    (await messageOf(run({ args: ['/bin/true'], ...o }))).replaceAll(dir, '<root>');

  it('fsopen: a file system that the kernel has not', async () => {
    expect(await messageFor(failing({ call: 'fsopen', args: ['nosuchfs', 1], into: 'fs', doing: 'make the root' }))).toMatchInlineSnapshot(`
      "start /bin/true: make the root: fsopen: ENODEV (no such device or file system type)
        fs = fsopen("nosuchfs", 1)"
    `);
  });

  it('fsconfig: an option that the file system has not', async () => {
    const steps: Step[] = [
      { call: 'fsopen', args: ['tmpfs', named(1, 'FSOPEN_CLOEXEC')], into: 'fs' },
      { call: 'fsconfig', args: [slot('fs'), named(1, 'FSCONFIG_SET_STRING'), 'colour', 'red', 0], doing: 'make the root' },
    ];
    expect(await messageFor(failing(...steps))).toMatchInlineSnapshot(`
      "start /bin/true: make the root: fsconfig: EINVAL (invalid argument)
        fsconfig(fs, FSCONFIG_SET_STRING, "colour", "red", 0)"
    `);
  });

  it('fsmount: of something that is no context', async () => {
    const steps: Step[] = [
      { call: 'openat', args: [AT_FDCWD, '/', 0], into: 'fs' },
      { call: 'fsmount', args: [slot('fs'), 0, 0], into: 'root' },
    ];
    expect(await messageFor(failing(...steps))).toMatchInlineSnapshot(`
      "start /bin/true: fsmount: EINVAL (invalid argument)
        root = fsmount(fs, 0, 0)"
    `);
  });

  it('open_tree: a root that is not there', async () => {
    expect(await messageFor({ namespaces, root: rootOf('/nowhere/at/all') })).toMatchInlineSnapshot(`
      "start /bin/true: clone the root directory: open_tree: ENOENT (no such file or directory)
        root = open_tree(AT_FDCWD, "/nowhere/at/all", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)"
    `);
  });

  it('mount_setattr: an attribute of nothing', async () => {
    const step: Step = {
      call: 'mount_setattr',
      args: [AT_FDCWD, '/nowhere', atFlags('AT_RECURSIVE'), mountAttrBytes({ set: ['MOUNT_ATTR_RDONLY'] }), 32],
    };
    expect(await messageFor(failing(step))).toMatchInlineSnapshot(`
      "start /bin/true: mount_setattr: ENOENT (no such file or directory)
        mount_setattr(AT_FDCWD, "/nowhere", AT_RECURSIVE, {set=MOUNT_ATTR_RDONLY}, 32)"
    `);
  });

  it('move_mount: a slot that nobody filled', async () => {
    expect(await messageFor({ namespaces, root: { steps: [], slot: 'empty' } })).toMatchInlineSnapshot(`
      "start /bin/true: make the new root /: move_mount: EBADF (bad file descriptor)
        move_mount(empty, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH)"
    `);
  });

  it('pivot_root: a target that is no mount', async () => {
    expect(
      await messageFor(failing({ call: 'pivot_root', args: ['/proc/self', '/proc/self'], doing: 'make the new root /' })),
    ).toMatchInlineSnapshot(`
      "start /bin/true: make the new root /: pivot_root: EINVAL (invalid argument)
        pivot_root("/proc/self", "/proc/self")"
    `);
  });

  it('umount2: what is not mounted', async () => {
    expect(await messageFor(failing({ call: 'umount2', args: ['/nowhere', named(2, 'MNT_DETACH')] }))).toMatchInlineSnapshot(`
      "start /bin/true: umount2: ENOENT (no such file or directory)
        umount2("/nowhere", MNT_DETACH)"
    `);
  });

  it('mkdirat: a target below a file', async () => {
    const mounts = [{ type: 'tmpfs', target: '/bin/busybox/below' }] as const;
    expect(await messageFor({ namespaces, root: rootOf(dir), mounts })).toMatchInlineSnapshot(`
      "start /bin/true: mount a tmpfs on /bin/busybox/below: make_target: ENOTDIR (not a directory)
        target = make_target(mount0, "/bin/busybox/below")"
    `);
  });

  it('mkdirat: a target in a read-only file system', async () => {
    const mounts = [
      { type: 'bind', source: dir, target: '/tmp', readOnly: true },
      { type: 'tmpfs', target: '/tmp/below' },
    ] as const;
    expect(await messageFor({ namespaces, root: rootOf(dir), mounts })).toMatchInlineSnapshot(`
      "start /bin/true: mount a tmpfs on /tmp/below: make_target: EROFS (read-only file system)
        target = make_target(mount1, "/tmp/below")"
    `);
  });

  it('move_mount: a folder on a file', async () => {
    expect(await messageFor({ namespaces, root: rootOf(dir), mounts: [{ type: 'tmpfs', target: '/bin/busybox' }] })).toMatchInlineSnapshot(`
      "start /bin/true: mount a tmpfs on /bin/busybox: move_mount: EINVAL (invalid argument)
        move_mount(mount0, "", target, "", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)"
    `);
  });

  it('open_tree: a source that is not there', async () => {
    const mounts = [{ type: 'bind', source: '/nowhere', target: '/data' }] as const;
    expect(await messageFor({ namespaces, root: rootOf(dir), mounts })).toMatchInlineSnapshot(`
      "start /bin/true: mount /nowhere on /data: open_tree: ENOENT (no such file or directory)
        mount0 = open_tree(AT_FDCWD, "/nowhere", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_RECURSIVE)"
    `);
  });

  it('sethostname: too long for the kernel, which a plan may say and the options not', async () => {
    expect(
      await messageFor(failing({ call: 'sethostname', args: ['x'.repeat(65), 65], doing: 'set the host name' })),
    ).toMatchInlineSnapshot(`
      "start /bin/true: set the host name: sethostname: EINVAL (invalid argument)
        sethostname("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 65)"
    `);
  });

  it('unshare: flags that make no sense', async () => {
    expect(
      await messageFor(failing({ call: 'unshare', args: [named(0x1, '0x1')], doing: 'make the cgroup namespace' })),
    ).toMatchInlineSnapshot(`
      "start /bin/true: make the cgroup namespace: unshare: EINVAL (invalid argument)
        unshare(0x1)"
    `);
  });

  it('ioctl: an interface that is not there', async () => {
    const request = Buffer.alloc(40);
    request.write('nosuch', 0);
    const steps: Step[] = [
      { call: 'socket', args: [2, 0x80002, 0], into: 's' },
      {
        call: 'ioctl',
        args: [slot('s'), named(0x8914, 'SIOCSIFFLAGS'), { bytes: request, text: '{nosuch, IFF_UP}' }],
        doing: 'bring it up',
      },
    ];
    const o = { ...failing(...steps), namespaces: { ...namespaces, network: 'new' } } as const;
    expect(await messageFor(o)).toMatchInlineSnapshot(`
      "start /bin/true: bring it up: ioctl: ENODEV (no such device or file system type)
        ioctl(s, SIOCSIFFLAGS, {nosuch, IFF_UP})"
    `);
  });

  it('mknodat and symlinkat: what exists already', async () => {
    const node: Step = { call: 'mknodat', args: [AT_FDCWD, '/proc', 0o100644, 0], doing: 'make /dev' };
    const link: Step = { call: 'symlinkat', args: ['x', AT_FDCWD, '/proc'], doing: 'make /dev' };
    expect(await messageFor(failing(node))).toMatchInlineSnapshot(`
      "start /bin/true: make /dev: mknodat: EEXIST (file exists)
        mknodat(AT_FDCWD, "/proc", 33188, 0)"
    `);
    expect(await messageFor(failing(link))).toMatchInlineSnapshot(`
      "start /bin/true: make /dev: symlinkat: EEXIST (file exists)
        symlinkat("x", AT_FDCWD, "/proc")"
    `);
  });

  it('openat2: a working directory that is not there, that is a file, that is a magic link', async () => {
    expect(await messageFor({ cwd: '/nowhere' })).toMatchInlineSnapshot(`
      "start /bin/true: change to the working directory /nowhere: openat2: ENOENT (no such file or directory)
        cwd = openat2(AT_FDCWD, "/nowhere", {flags=O_PATH|O_DIRECTORY|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS}, 24)"
    `);
    expect(await messageFor({ cwd: '/etc/passwd' })).toMatchInlineSnapshot(`
      "start /bin/true: change to the working directory /etc/passwd: openat2: ENOTDIR (not a directory)
        cwd = openat2(AT_FDCWD, "/etc/passwd", {flags=O_PATH|O_DIRECTORY|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS}, 24)"
    `);
    expect(await messageFor({ cwd: '/proc/self/cwd' })).toMatchInlineSnapshot(`
      "start /bin/true: change to the working directory /proc/self/cwd: openat2: ELOOP (too many symbolic links)
        cwd = openat2(AT_FDCWD, "/proc/self/cwd", {flags=O_PATH|O_DIRECTORY|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS}, 24)
        hint: the path leads through a magic link of /proc, which is not followed"
    `);
  });

  it('prctl: a capability of nobody', async () => {
    expect(
      await messageFor(failing({ call: 'prctl', args: [named(24, 'PR_CAPBSET_DROP'), 63, 0, 0, 0], doing: 'drop it' })),
    ).toMatchInlineSnapshot(`
      "start /bin/true: drop it: prctl: EINVAL (invalid argument)
        prctl(PR_CAPBSET_DROP, 63, 0, 0, 0)"
    `);
  });

  it('capset: more than the process has', async () => {
    const capset = (names: CapabilityName[]): Step => {
      const { header, data } = encodeCapset({ effective: names, permitted: names, inheritable: [] });
      return {
        call: 'capset',
        args: [
          { bytes: header, text: '{version 3}' },
          { bytes: data, text: `{effective=${names}}` },
        ],
        doing: 'set the capabilities',
      };
    };
    expect(await messageFor(failing(capset([]), capset(['CAP_CHOWN'])))).toMatchInlineSnapshot(`
      "start /bin/true: set the capabilities: capset: EPERM (operation not permitted)
        capset({version 3}, {effective=CAP_CHOWN})"
    `);
  });

  it('seccomp: a program that is none', async () => {
    expect(await messageFor({ seccomp: Buffer.alloc(8), noNewPrivileges: true })).toMatchInlineSnapshot(`
      "start /bin/true: load the seccomp filter: seccomp: EINVAL (invalid argument)
        seccomp(SECCOMP_SET_MODE_FILTER, 0, {1 instructions})"
    `);
  });

  it('execve: what is not there, not executable, no program, too large', async () => {
    const file = path.join(makeTempDir('exec'), 'file');
    chmodSync(path.dirname(file), 0o755);
    writeFileSync(file, 'no program');
    const message = async (args: string[], env = ENV): Promise<string> => (await messageOf(run({ args, env }))).replaceAll(file, '<file>');
    expect(await message(['nowhere'], { PATH: '/usr/bin:/bin' })).toMatchInlineSnapshot(`
      "start nowhere: run nowhere: execve: ENOENT (no such file or directory)
        execve("/bin/nowhere", ["nowhere"], [1 variables])
        hint: there is no nowhere inside, or the interpreter or loader that it names is missing; paths and PATH are those of the new root"
    `);
    expect(await message([file])).toMatchInlineSnapshot(`
      "start <file>: run <file>: execve: EACCES (permission denied)
        execve("<file>", ["<file>"], [1 variables])
        hint: the file is not executable for this user, or its mount is noexec"
    `);
    chmodSync(file, 0o755);
    expect(await message([file])).toMatchInlineSnapshot(`
      "start <file>: run <file>: execve: ENOEXEC (exec format error)
        execve("<file>", ["<file>"], [1 variables])
        hint: the file is for another processor, or a script without a first line such as #!/bin/sh"
    `);
    expect(await message(['/'])).toMatchInlineSnapshot(`
      "start /: run /: execve: EACCES (permission denied)
        execve("/", ["/"], [1 variables])
        hint: the file is not executable for this user, or its mount is noexec"
    `);
    const large = await message(['/bin/true', 'x'.repeat(131_072)]);
    expect(large.split('\n')[0]).toMatchInlineSnapshot(`"start /bin/true: run /bin/true: execve: E2BIG (argument list too long)"`);
  });

  it('prepare: on the host, before there is a process', async () => {
    const existing = makeTempDir('prepare');
    const work = run({
      args: ['/bin/true'],
      prepare: [{ call: 'mkdirat', args: [AT_FDCWD, existing, 0o700], doing: 'make the directory' }],
    });
    const error = (await work.catch((e) => e)) as StartError;
    expect(error.message.replaceAll(existing, '<dir>')).toMatchInlineSnapshot(`
      "start /bin/true: make the directory: mkdirat: EEXIST (file exists)
        mkdirat(AT_FDCWD, "<dir>", 448)"
    `);
    expect({ ...error, path: '<dir>', step: error.step?.call, cause: (error.cause as Error).constructor.name }).toMatchInlineSnapshot(`
      {
        "cause": "SyscallError",
        "code": "CTR_START_FAILED",
        "errno": -17,
        "hint": undefined,
        "path": "<dir>",
        "stage": "prepare",
        "step": "mkdirat",
        "stepIndex": 0,
        "syscall": "mkdirat",
      }
    `);
    expect(error).toBeInstanceOf(StartError);
    expect(error.cause).toBeInstanceOf(SyscallError);
  });

  it('beside: on the host, while the process makes its namespaces', async () => {
    const [made, existing] = [path.join(makeTempDir('beside'), 'made'), makeTempDir('beside')];
    const make = (dir: string): Step => ({ call: 'mkdirat', args: [AT_FDCWD, dir, 0o700], doing: 'make the directory' });
    const work = run({
      args: ['/bin/true'],
      namespaces,
      root: { steps: [{ call: 'openat', args: [AT_FDCWD, '/never/comes/here', 0], into: 'root' }], slot: 'root' },
      beside: [make(made), make(existing)],
      cleanup: [{ call: 'unlinkat', args: [AT_FDCWD, made, atFlags('AT_REMOVEDIR')], doing: 'remove the directory' }],
    });
    const error = (await work.catch((e) => e)) as StartError;
    expect(error.message.replaceAll(existing, '<dir>')).toMatchInlineSnapshot(`
      "start /bin/true: make the directory: mkdirat: EEXIST (file exists)
        mkdirat(AT_FDCWD, "<dir>", 448)"
    `);
    expect(error).toMatchObject({ stage: 'beside', stepIndex: 1, path: existing });
    expect(existsSync(made)).toBe(false);
  });

  it('beside: a step that changes data, or beside a process in between', async () => {
    const plain = describeSpawn({ args: ['/bin/true'], namespaces });
    const message = (stages: Partial<typeof plain.stages>) =>
      messageOf(Launcher.current.launch(planSource({ ...plain, fds: {}, stages: { ...plain.stages, ...stages } }), () => undefined));
    const patched: Step = {
      call: 'getpid',
      args: [{ bytes: new Uint8Array(8), patches: [{ at: 0, value: { bytes: new Uint8Array(8) } }] }],
    };
    const refused = /^start \/bin\/true: hand the plan to the monitor: recvmsg: EINVAL/;
    expect(await message({ beside: [[patched]] })).toMatch(refused);
    expect(await message({ beside: [[{ call: 'getpid', args: [] }]], enter: [[{ call: 'getpid', args: [] }]] })).toMatch(refused);
  });

  it('prepare: a step that only the process can do', async () => {
    const step = (call: string, ...args: number[]): Step => ({ call, args, doing: 'do it too early' });
    expect(await messageFor({ prepare: [step('close_fds', 3)] })).toMatchInlineSnapshot(`
      "start /bin/true: do it too early: close_fds: EINVAL (invalid argument)
        close_fds(3)"
    `);
  });

  it('a slot that is closed twice', async () => {
    const steps: Step[] = [
      { call: 'openat', args: [AT_FDCWD, '/', 0], into: 'x' },
      { call: 'close', args: [slot('x')] },
      { call: 'close', args: [slot('x')], doing: 'close it again' },
    ];
    expect(await messageFor({ prepare: steps })).toMatchInlineSnapshot(`
      "start /bin/true: close it again: close: EBADF (bad file descriptor)
        close(x)"
    `);
  });

  it('the end of the setup without a program', async () => {
    // Nothing that the options can say; a plan can.
    const plan = {
      doing: 'start nothing',
      cloneFlags: [],
      fds: {},
      stages: { prepare: [], beside: [], enter: [], setup: [[{ call: 'setsid', args: [] }]], kill: [], collect: [], cleanup: [] },
    };
    expect(await messageOf(Launcher.current.launch(planSource(plan), () => undefined))).toMatchInlineSnapshot(`
      "start nothing: setsid: EINVAL (invalid argument)
        setsid()"
    `);
  });

  it.each([
    ['killed', { user, mount: 'new' }, { call: 'kill', args: [0, 9] }],
    ['killed by itself', { user, mount: 'new' }, { call: 'kill', args: [0, 11] }],
    ['ended', { user, mount: 'new', pid: 'new' }, { call: 'exit_group', args: [0] }],
    ['ended', { user, mount: 'new' }, { call: 'exit_group', args: [5] }],
  ] as [string, SpawnOptions['namespaces'], Step][])('a process that is %s on its way to the program', async (_, ns, step) => {
    const before = Launcher.existing?.pid;
    expect(await messageFor({ namespaces: ns as never, root: { steps: [step], slot: 'root' } })).toBe(
      'start /bin/true: the process was killed before its program ran: execve: EINTR (interrupted)\n' +
        '  hint: the kernel kills what starts with too small a memory limit; otherwise somebody sent it SIGKILL',
    );
    expect(Launcher.existing?.pid).toBe(before);
  });

  it('launches that hang keep the others waiting, until they are told to end', async () => {
    const fifo = path.join(makeTempDir('fifo'), 'fifo');
    execFileSync('mkfifo', [fifo]);
    chmodSync(path.dirname(fifo), 0o755);
    const hanging = (): Promise<string> => messageFor(failing({ call: 'openat', args: [AT_FDCWD, fifo, 0], doing: 'wait for ever' }));
    const stuck = Array.from({ length: 24 }, hanging);
    const waiting = Array.from({ length: 40 }, () => messageFor({}));
    await sleep(200);
    await closeLauncher();
    expect(new Set((await Promise.all(stuck)).map((m) => m.split('\n')[0]))).toEqual(
      new Set(['start /bin/true: the process was killed before its program ran: execve: EINTR (interrupted)']),
    );
    expect(new Set(await Promise.all(waiting))).toEqual(
      new Set(['start /bin/true: talk to the monitor: recvmsg: ECONNRESET (connection reset)\n  hint: the monitor was told to end']),
    );
    expect(await messageFor({})).toBe('nothing was thrown');
  });

  it('clone3: flags that make no sense', async () => {
    const plan = {
      doing: 'start nothing',
      cloneFlags: ['CLONE_NEWPID'],
      cgroup: 'nowhere',
      fds: {},
      stages: { prepare: [], beside: [], enter: [], setup: [[{ call: 'setsid', args: [] }]], kill: [], collect: [], cleanup: [] },
    };
    expect(await messageOf(Launcher.current.launch(planSource(plan), () => undefined))).toMatch(
      /^start nothing: make the process and its namespaces: clone3: (EBADF|EINVAL)/,
    );
  });

  it.skipIf(!ordinary.ok)(ordinary.title('clone3 and unshare: namespaces without rights, with the cure'), async () => {
    expect(await messageFor({ namespaces: { pid: 'new' } })).toMatchInlineSnapshot(`
      "start /bin/true: make the process and its namespaces: clone3: EPERM (operation not permitted)
        clone3(CLONE_NEWPID)
        hint: without root, new namespaces need a user namespace too: namespaces.user: 'new'"
    `);
    expect(await messageFor({ namespaces: { uts: 'new' } })).toMatchInlineSnapshot(`
      "start /bin/true: make its uts namespace: unshare: EPERM (operation not permitted)
        unshare(CLONE_NEWUTS)
        hint: without root, new namespaces need a user namespace too: namespaces.user: 'new'"
    `);
  });

  it.skipIf(!root.ok)(root.title('write: a map that overlaps'), async () => {
    const map = [
      { containerId: 0, hostId: 100_000, size: 10 },
      { containerId: 5, hostId: 200_000, size: 10 },
    ];
    expect(await messageFor({ namespaces: { user: 'new' }, idMaps: { uid: map, gid: map } })).toMatchInlineSnapshot(
      `"expected "idMaps.uid" to be lines that do not overlap, inside or outside, received an array of 2"`,
    );
    // What the kernel says to it, when the monitor writes it and when a process in between does.
    const idMaps = { uid: formatIdMaps(map), gid: formatIdMaps(map), denySetgroups: false };
    const join: Step = { call: 'getpid', args: [] };
    for (const enter of [[], [[join]]]) {
      const plan = describeSpawn({ args: ['/bin/true'], namespaces: { user: 'new', pid: 'new' }, stdio: ['ignore', 'ignore', 'ignore'] });
      const failing = executePlan({ ...plan, idMaps, stages: { ...plan.stages, enter } }, [], {});
      expect(await messageOf(failing)).toMatchInlineSnapshot(`
        "start /bin/true: map the ids of the user namespace: write: EINVAL (invalid argument)
          write("/proc/<pid>/gid_map", "0 100000 10\\n5 200000 10\\n")"
      `);
    }
  });

  describe.each(WAYS)('$way', ({ user: way }) => {
    it('leaves nothing: no process, no descriptor, no mount, and the clean-up has run', async () => {
      await run({ args: ['true'] });
      const state = makeTempDir('state');
      const check = leaks();
      for (let i = 0; i < 20; i++) {
        const made = path.join(state, String(i));
        const o: SpawnOptions = {
          args: ['/nowhere'],
          env: ENV,
          namespaces: { ...namespaces, user: way },
          mounts: [{ type: 'tmpfs', target: '/mnt' }],
          prepare: [
            { call: 'mkdirat', args: [AT_FDCWD, made, 0o700] },
            { call: 'openat', args: [AT_FDCWD, made, 0], into: 'state' },
          ],
          cleanup: [{ call: 'remove_tree', args: [made] }],
        };
        await expect(spawn(o)).rejects.toThrow('ENOENT');
      }
      expect(readdirSync(state)).toEqual([]);
      await check.assertClean();
    });
  });

  it('of the clean-up is told with the first error, and does not replace it', async () => {
    const state = makeTempDir('state');
    mkdirSync(path.join(state, 'full/inner'), { recursive: true });
    const full = path.join(state, 'full');
    const cleanup: Step[] = [
      { call: 'unlinkat', args: [AT_FDCWD, full, atFlags('AT_REMOVEDIR')], doing: 'remove the state' },
      { call: 'unlinkat', args: [AT_FDCWD, `${full}/inner`, atFlags('AT_REMOVEDIR')], doing: 'remove the inner state' },
    ];
    const error = (await spawn({ args: ['/nowhere'], env: ENV, cleanup }).catch((e) => e)) as StartError;
    expect(error.message.split('\n')[0]).toBe('start /nowhere: run /nowhere: execve: ENOENT (no such file or directory)');
    expect(error.cleanup?.map((e) => e.message.replace(full, '<dir>'))).toMatchInlineSnapshot(`
      [
        "remove the state: unlinkat "<dir>": ENOTEMPTY (directory not empty)",
      ]
    `);
    expect(readdirSync(full)).toEqual([]);
  });

  it('of the clean-up of a process that ran rejects `cleaned`, after the others were done', async () => {
    const dir = makeTempDir('state');
    const cleanup: Step[] = [
      { call: 'unlinkat', args: [AT_FDCWD, '/nowhere/1', 0], doing: 'remove the first' },
      { call: 'unlinkat', args: [AT_FDCWD, dir, atFlags('AT_REMOVEDIR')], doing: 'remove the second' },
      { call: 'remove_tree', args: ['/etc/passwd'], doing: 'remove the third' },
    ];
    const p = await spawn({ args: ['true'], env: ENV, cleanup, stdio: ['ignore', 'ignore', 'ignore'] });
    expect(await p.exited).toMatchObject({ exitCode: 0 });
    expect(await messageOf(p.cleaned)).toMatchInlineSnapshot(
      `"clean up start true: remove the first: unlinkat "/nowhere/1": ENOENT (no such file or directory); remove the third: remove_tree "/etc/passwd": ENOTDIR (not a directory)"`,
    );
    expect(() => readdirSync(dir)).toThrow('ENOENT');
  });
});
