// Options become a plan: shown as a reader of a log would see it.
import type { Step } from '@ctr/internal/steps';
import { describe, expect, it } from 'vitest';
import { describePlan, type SpawnOptions } from '../index.js';
import { describeSpawn } from './compile-spawn.js';

const ROOT = { uid: 0, gid: 0 };
const USER = { uid: 1000, gid: 1000 };
const shown = (o: SpawnOptions, caller = ROOT): string => describePlan(describeSpawn(o, caller));

describe('describeSpawn', () => {
  it('a program in the host’s namespaces', () => {
    expect(shown({ args: ['/bin/true'] })).toMatchInlineSnapshot(`
      "start /bin/true
      clone3(0)
      setup (the new process)
        setsid()
        umask(18)
        dup3(stdout, 1, 0)
        dup3(stderr, 2, 0)
        cwd = openat2(AT_FDCWD, "/", {flags=O_PATH|O_DIRECTORY|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS}, 24)
        fchdir(cwd)
        keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)  # ENOSYS, EPERM, EACCES, EDQUOT is no failure
        umask(18)
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        assert_monitor()
        close_fds(3)
        execve("/bin/true", ["/bin/true"], [0 variables])"
    `);
  });

  it('a program that is looked up, with everything that a process has', () => {
    expect(
      shown({
        args: ['tool', 'an argument'],
        env: { PATH: '/usr/bin:/bin', SECRET: 'not shown' },
        cwd: '/work',
        createCwd: true,
        user: { uid: 1000, gid: 1000, groups: [5, 6], umask: 0o027 },
        capabilities: {
          bounding: ['CAP_CHOWN'],
          effective: ['CAP_CHOWN'],
          permitted: ['CAP_CHOWN'],
          inheritable: ['CAP_CHOWN'],
          ambient: ['CAP_CHOWN'],
        },
        noNewPrivileges: true,
        seccomp: new Uint8Array(16),
        rlimits: { nofile: { soft: 10, hard: 20 }, core: { soft: 0, hard: Number.POSITIVE_INFINITY } },
        oomScoreAdj: 100,
        stdio: ['pipe', 'inherit', 'ignore'],
      }).replace(/( {2}prctl\(PR_CAPBSET_DROP, .*\n)+/, '  …\n'),
    ).toMatchInlineSnapshot(`
      "start tool
      clone3(0)
      setup (the new process)
        setsid()
        umask(18)
        dup3(stdin, 0, 0)
        dup3(stdout, 1, 0)
        oom = openat(AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY|O_CLOEXEC)
        write(oom, "100", 3)
        close(oom)
        target = make_target(-1, "/work")
        cwd = openat2(AT_FDCWD, "/work", {flags=O_PATH|O_DIRECTORY|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS}, 24)
        fchdir(cwd)
        prlimit64(0, RLIMIT_NOFILE, {10, 20}, NULL)
        prlimit64(0, RLIMIT_CORE, {0, Infinity}, NULL)
        keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)  # ENOSYS, EPERM, EACCES, EDQUOT is no failure
        …
        prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
        setgroups(2, [5, 6])
        setresgid(1000, 1000, 1000)
        setresuid(1000, 1000, 1000)
        umask(23)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        capset({version 3}, {effective=CAP_CHOWN})
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0)
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        assert_monitor()
        close_fds(3)
        seccomp(SECCOMP_SET_MODE_FILTER, 0, {2 instructions})
        execve("/usr/bin/tool", ["tool", "an argument"], [2 variables])  # ENOENT, ENOTDIR, EACCES is no failure
        execve("/bin/tool", ["tool", "an argument"], [2 variables])"
    `);
  });

  it('a container with a root of its own', () => {
    expect(
      shown({
        args: ['/bin/sh'],
        doing: 'start container "web"',
        namespaces: { pid: 'new', mount: 'new', uts: 'new', network: 'new', cgroup: 'new' },
        hostname: 'web',
        root: { steps: [{ call: 'open_tree', args: [-100, '/srv/web', 1], into: 'root', doing: 'open the root' }], slot: 'root' },
        readOnlyRoot: true,
        mounts: [
          { type: 'proc', target: '/proc' },
          { type: 'tmpfs', target: '/tmp', size: 65_536, noexec: true },
          { type: 'bind', source: '/srv/data', target: '/data', readOnly: true },
        ],
        maskedPaths: ['/image/secret'],
        readonlyPaths: ['/image/conf'],
        cgroup: {
          prepare: [{ call: 'mkdirat', args: [-100, '/cg/web', 0o755], doing: 'make the cgroup' }],
          setup: [{ call: 'write', args: [{ slot: 'tasks' }, '0', 1] }],
          cloneInto: 'unified',
          kill: [{ call: 'write', args: [{ slot: 'kill' }, '1', 1] }],
          collect: [{ call: 'report_file', args: ['/cg/web/memory.peak'] }],
          cleanup: [{ call: 'unlinkat', args: [-100, '/cg/web', 0x200], allow: ['ENOENT'] }],
        },
        prepare: [{ call: 'mkdirat', args: [-100, '/state/web', 0o700] }],
        cleanup: [{ call: 'remove_tree', args: ['/state/web'] }],
      }),
    ).toMatchInlineSnapshot(`
      "start container "web"
      prepare (monitor, on the host)
        mkdirat(AT_FDCWD, "/state/web", 448)
        mkdirat(AT_FDCWD, "/cg/web", 493)
      clone3(CLONE_NEWPID|CLONE_INTO_CGROUP) into unified
      setup (the new process)
        write(tasks, "0", 1)
        unshare(CLONE_NEWNS|CLONE_NEWUTS|CLONE_NEWCGROUP)
        setns(spare network, CLONE_NEWNET)  # EBADF, EPERM is no failure; success skips 4
        unshare(CLONE_NEWNET)
        lo = socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, 0)
        ioctl(lo, SIOCSIFFLAGS, {lo, IFF_UP})
        close(lo)
        setsid()
        umask(18)
        dup3(stdout, 1, 0)
        dup3(stderr, 2, 0)
        mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, {propagation=MS_PRIVATE}, 32)
        root = open_tree(AT_FDCWD, "/srv/web", 1)
        mount0.fs = fsopen("proc", FSOPEN_CLOEXEC)
        fsconfig(mount0.fs, FSCONFIG_SET_STRING, "source", "proc", 0)
        fsconfig(mount0.fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)
        mount0 = fsmount(mount0.fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC)
        close(mount0.fs)
        mount1.fs = fsopen("tmpfs", FSOPEN_CLOEXEC)
        fsconfig(mount1.fs, FSCONFIG_SET_STRING, "source", "tmpfs", 0)
        fsconfig(mount1.fs, FSCONFIG_SET_STRING, "mode", "1777", 0)
        fsconfig(mount1.fs, FSCONFIG_SET_STRING, "size", "65536", 0)
        fsconfig(mount1.fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)
        mount1 = fsmount(mount1.fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC)
        close(mount1.fs)
        mount2 = open_tree(AT_FDCWD, "/srv/data", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_RECURSIVE)
        mount_setattr(mount2, "", AT_EMPTY_PATH|AT_RECURSIVE, {set=MOUNT_ATTR_RDONLY, propagation=MS_PRIVATE}, 32)
        mask.null = open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)
        mask.empty.fs = fsopen("tmpfs", FSOPEN_CLOEXEC)
        fsconfig(mask.empty.fs, FSCONFIG_SET_STRING, "source", "tmpfs", 0)
        fsconfig(mask.empty.fs, FSCONFIG_SET_STRING, "mode", "755", 0)
        fsconfig(mask.empty.fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0)
        fsconfig(mask.empty.fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)
        mask.empty = fsmount(mask.empty.fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC)
        close(mask.empty.fs)
        move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH)
        fchdir(root)
        pivot_root(".", ".")
        umount2(".", MNT_DETACH)
        chdir("/")
        move_mount(mount0, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH)  # ENOENT, EINVAL, ENOTDIR is no failure; success skips 2
        target = make_target(mount0, "/proc")
        move_mount(mount0, "", target, "", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)
        move_mount(mount1, "", AT_FDCWD, "/tmp", MOVE_MOUNT_F_EMPTY_PATH)  # ENOENT, EINVAL, ENOTDIR is no failure; success skips 2
        target = make_target(mount1, "/tmp")
        move_mount(mount1, "", target, "", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)
        move_mount(mount2, "", AT_FDCWD, "/data", MOVE_MOUNT_F_EMPTY_PATH)  # ENOENT, EINVAL, ENOTDIR is no failure; success skips 2
        target = make_target(mount2, "/data")
        move_mount(mount2, "", target, "", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)
        mask.at = openat(AT_FDCWD, "/image/secret", O_PATH|O_CLOEXEC|O_NOFOLLOW)  # ENOENT is no failure, skips 6
        mask.at = openat(AT_FDCWD, "/image/secret", O_PATH|O_CLOEXEC|O_NOFOLLOW|O_DIRECTORY)  # ENOTDIR is no failure, skips 2
        mask = open_tree(mask.empty, "", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH)  # EINVAL is no failure; success skips 3
        move_mount(mask.empty, "", AT_FDCWD, "/image/secret", MOVE_MOUNT_F_EMPTY_PATH)  # success skips 3
        mask = open_tree(mask.null, "", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH)  # EINVAL is no failure; success skips 1
        move_mount(mask.null, "", AT_FDCWD, "/image/secret", MOVE_MOUNT_F_EMPTY_PATH)  # success skips 1
        move_mount(mask, "", AT_FDCWD, "/image/secret", MOVE_MOUNT_F_EMPTY_PATH)
        close(mask.null)
        close(mask.empty)
        readonly = open_tree(AT_FDCWD, "/image/conf", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_RECURSIVE)  # ENOENT is no failure, skips 2
        mount_setattr(readonly, "", AT_EMPTY_PATH|AT_RECURSIVE, {set=MOUNT_ATTR_RDONLY}, 32)
        move_mount(readonly, "", AT_FDCWD, "/image/conf", MOVE_MOUNT_F_EMPTY_PATH)
        mount_setattr(AT_FDCWD, "/", 0, {set=MOUNT_ATTR_RDONLY}, 32)
        sethostname("web", 3)
        cwd = openat2(AT_FDCWD, "/", {flags=O_PATH|O_DIRECTORY|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS}, 24)
        fchdir(cwd)
        keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)  # ENOSYS, EPERM, EACCES, EDQUOT is no failure
        umask(18)
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        assert_monitor()
        close_fds(3)
        execve("/bin/sh", ["/bin/sh"], [0 variables])
      kill (monitor)
        write(kill, "1", 1)
      collect (monitor, after the death)
        report_file("/cg/web/memory.peak")
      cleanup (monitor, at last)
        unlinkat(AT_FDCWD, "/cg/web", 512)  # ENOENT is no failure
        remove_tree("/state/web")
      spare (a process beside the monitor, when it has nothing to do)
        unshare(CLONE_NEWNET)
        lo = socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, 0)
        ioctl(lo, SIOCSIFFLAGS, {lo, IFF_UP})
        spare network = ioctl(lo, SIOCGSKNS)
        close(lo)"
    `);
  });

  it('without root: a user namespace with the user’s own id, and nodes of the host in /dev', () => {
    const o: SpawnOptions = {
      args: ['/bin/true'],
      namespaces: { user: 'new', pid: 'new', mount: 'new' },
      mounts: [
        { type: 'dev', target: '/dev' },
        { type: 'devpts', target: '/dev/pts' },
      ],
      oomScoreAdj: 100,
    };
    expect(shown(o, USER)).toMatchInlineSnapshot(`
      "start /bin/true
      clone3(CLONE_NEWUSER|CLONE_NEWPID)
      maps: uid 0 1000 1, gid 0 1000 1, setgroups deny
      setup (the new process)
        unshare(CLONE_NEWNS)
        setsid()
        umask(18)
        dup3(stdout, 1, 0)
        dup3(stderr, 2, 0)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        oom = openat(AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY|O_CLOEXEC)
        write(oom, "100", 3)
        close(oom)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        setresgid(0, 0, 0)
        setresuid(0, 0, 0)
        mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, {propagation=MS_SLAVE}, 32)
        dev.fs = fsopen("tmpfs", FSOPEN_CLOEXEC)
        fsconfig(dev.fs, FSCONFIG_SET_STRING, "source", "tmpfs", 0)
        fsconfig(dev.fs, FSCONFIG_SET_STRING, "mode", "755", 0)
        fsconfig(dev.fs, FSCONFIG_SET_STRING, "size", "65536k", 0)
        fsconfig(dev.fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)
        dev = fsmount(dev.fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID|MOUNT_ATTR_NOEXEC)
        close(dev.fs)
        umask(0)
        mknodat(dev, "null", S_IFREG|0666, 0)
        dev.null = open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)
        mknodat(dev, "zero", S_IFREG|0666, 0)
        dev.zero = open_tree(AT_FDCWD, "/dev/zero", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)
        mknodat(dev, "full", S_IFREG|0666, 0)
        dev.full = open_tree(AT_FDCWD, "/dev/full", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)
        mknodat(dev, "random", S_IFREG|0666, 0)
        dev.random = open_tree(AT_FDCWD, "/dev/random", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)
        mknodat(dev, "urandom", S_IFREG|0666, 0)
        dev.urandom = open_tree(AT_FDCWD, "/dev/urandom", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)
        mknodat(dev, "tty", S_IFREG|0666, 0)
        dev.tty = open_tree(AT_FDCWD, "/dev/tty", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)
        symlinkat("pts/ptmx", dev, "ptmx")
        symlinkat("/proc/self/fd", dev, "fd")
        symlinkat("/proc/self/fd/0", dev, "stdin")
        symlinkat("/proc/self/fd/1", dev, "stdout")
        symlinkat("/proc/self/fd/2", dev, "stderr")
        mkdirat(dev, "pts", 0755)
        mkdirat(dev, "shm", 0755)
        mkdirat(dev, "mqueue", 0755)
        umask(18)
        mount1.fs = fsopen("devpts", FSOPEN_CLOEXEC)
        fsconfig(mount1.fs, FSCONFIG_SET_STRING, "source", "devpts", 0)
        fsconfig(mount1.fs, FSCONFIG_SET_FLAG, "newinstance", NULL, 0)
        fsconfig(mount1.fs, FSCONFIG_SET_STRING, "ptmxmode", "0666", 0)
        fsconfig(mount1.fs, FSCONFIG_SET_STRING, "mode", "0620", 0)
        fsconfig(mount1.fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)
        mount1 = fsmount(mount1.fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID|MOUNT_ATTR_NOEXEC)
        close(mount1.fs)
        move_mount(dev, "", AT_FDCWD, "/dev", MOVE_MOUNT_F_EMPTY_PATH)  # ENOENT, EINVAL, ENOTDIR is no failure; success skips 2
        target = make_target(dev, "/dev")
        move_mount(dev, "", target, "", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)
        move_mount(dev.null, "", AT_FDCWD, "/dev/null", MOVE_MOUNT_F_EMPTY_PATH)
        move_mount(dev.zero, "", AT_FDCWD, "/dev/zero", MOVE_MOUNT_F_EMPTY_PATH)
        move_mount(dev.full, "", AT_FDCWD, "/dev/full", MOVE_MOUNT_F_EMPTY_PATH)
        move_mount(dev.random, "", AT_FDCWD, "/dev/random", MOVE_MOUNT_F_EMPTY_PATH)
        move_mount(dev.urandom, "", AT_FDCWD, "/dev/urandom", MOVE_MOUNT_F_EMPTY_PATH)
        move_mount(dev.tty, "", AT_FDCWD, "/dev/tty", MOVE_MOUNT_F_EMPTY_PATH)
        move_mount(mount1, "", AT_FDCWD, "/dev/pts", MOVE_MOUNT_F_EMPTY_PATH)  # ENOENT, EINVAL, ENOTDIR is no failure; success skips 2
        target = make_target(mount1, "/dev/pts")
        move_mount(mount1, "", target, "", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)
        cwd = openat2(AT_FDCWD, "/", {flags=O_PATH|O_DIRECTORY|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS}, 24)
        fchdir(cwd)
        keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)  # ENOSYS, EPERM, EACCES, EDQUOT is no failure
        umask(18)
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        assert_monitor()
        close_fds(3)
        execve("/bin/true", ["/bin/true"], [0 variables])"
    `);
  });

  it('root with a range of ids keeps setgroups', () => {
    const map = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
    const plan = describeSpawn({ args: ['true'], namespaces: { user: 'new' }, idMaps: { uid: map, gid: map } }, ROOT);
    expect(plan.idMaps).toEqual({ uid: '0 100000 65536\n', gid: '0 100000 65536\n', denySetgroups: false });
  });

  it.each<[string, SpawnOptions, boolean]>([
    ['alone in a pid namespace', { args: ['x'], namespaces: { pid: 'new' } }, true],
    ['that others can see', { args: ['x'] }, false],
    [
      'with a memory limit',
      { args: ['x'], namespaces: { pid: 'new' }, cgroup: { prepare: [], setup: [], collect: [], cleanup: [], limitsMemory: true } },
      false,
    ],
    [
      'in a cgroup that may limit memory',
      { args: ['x'], namespaces: { pid: 'new' }, cgroup: { prepare: [], setup: [], collect: [], cleanup: [] } },
      false,
    ],
    [
      'in a cgroup without a memory limit',
      { args: ['x'], namespaces: { pid: 'new' }, cgroup: { prepare: [], setup: [], collect: [], cleanup: [], limitsMemory: false } },
      true,
    ],
    ['with an oom_score_adj', { args: ['x'], namespaces: { pid: 'new' }, oomScoreAdj: 0 }, false],
  ])('a process %s: does it borrow the monitor’s memory?', (_, o, shares) => {
    expect(describeSpawn(o, ROOT).sharesMemory ?? false).toBe(shares);
  });

  it.each<[string, Partial<SpawnOptions>, string[], string[], string[]]>([
    ['is made while the process makes its namespaces', {}, ['born'], ['v1', 'upper'], ['unshare', 'await_monitor', 'enter', 'unshare']],
    ['stands before a process that makes none', { namespaces: { pid: 'new' } }, ['born', 'v1', 'upper'], [], ['enter', 'setsid']],
    ['stands before a process in between', { namespaces: { mount: 'new', pid: '/x' } }, ['born', 'v1', 'upper'], [], ['enter', 'unshare']],
  ])('what the process needs first %s', (_, o, prepare, beside, setup) => {
    const step = (doing: string): Step => ({ call: doing === 'enter' ? 'enter' : 'mkdirat', args: [], doing });
    const { stages } = describeSpawn(
      {
        args: ['x'],
        namespaces: { mount: 'new', cgroup: 'new', pid: 'new' },
        cgroup: { prepare: [step('born')], beside: [step('v1')], setup: [step('enter')], collect: [], cleanup: [] },
        beside: [step('upper')],
        ...o,
      },
      ROOT,
    );
    expect([stages.prepare, stages.beside].map((groups) => groups.flat().map((s) => s.doing))).toEqual([prepare, beside]);
    expect(
      stages.setup
        .flat()
        .slice(0, setup.length)
        .map((s) => s.call),
    ).toEqual(setup);
  });

  it('the same options give the same plan, and options are left as they are', () => {
    const o: SpawnOptions = Object.freeze({ args: Object.freeze(['true']), namespaces: Object.freeze({ pid: 'new' }) } as const);
    expect(describeSpawn(o, ROOT)).toEqual(describeSpawn(o, ROOT));
  });
});
