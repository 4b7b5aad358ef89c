// Each kind of step that the packages make is made to fail in the kernel, and its message is read: what was being done, the call, the
// errno, the arguments or the path, and the cure where there is one. The kinds come from the source: see step-kinds.ts.
import { named, type Step, slot } from '@ctr/internal/steps';
import { need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { encodeCapset } from '../src/capabilities.js';
import { compileSeccomp, type SpawnOptions, type StartError } from '../src/index.js';
import { AT_FDCWD, openHow } from '../src/steps/flags.js';
import { loadSeccomp } from '../src/steps/identity.js';
import { asRoot, run } from './run.js';
import { stepKinds } from './step-kinds.js';

const needs = need('userns');
const namespaces = { user: asRoot ? 'host' : 'new', mount: 'new', pid: 'new', uts: 'new' } as const;

interface Failing {
  /** What goes before, and succeeds. */
  first?: readonly Step[];
  args: Step['args'];
  /** Errnos, of which the first is this kernel's; the others where it is built without the call, or a namespace refuses earlier. */
  code: string | readonly string[];
  /** The arguments as the message has them. */
  says: string;
  /** What the step is for, where the cure hangs on it. */
  doing?: string;
  path?: string;
  /** The cure, or the beginning of it. */
  hint?: string;
  /** In the monitor, where only a process's own steps fail. Default: in the new process. */
  stage?: 'prepare';
}

/** A slot that nobody fills. */
const none = slot('none');
const zeros = (size: number) => ({ bytes: new Uint8Array(size), text: `{${size} zeros}` });
const words = (text: string, ...values: number[]) => ({ bytes: new Uint8Array(Uint32Array.from(values).buffer), text });
const filter = { ...words('{filter}', 1, 0, 0, 0), patches: [{ at: 8, value: zeros(8) }] };
const strings = { strings: ['x'] };
const root: Step = { call: 'openat', args: [AT_FDCWD, '/', 0], into: 'root' };
const nowhere = '/nowhere/at/all';

const { header, data } = encodeCapset({ effective: [], permitted: [], inheritable: [] });
/** From here on it may no more than anybody. */
const powerless: Step = { call: 'capset', args: [{ bytes: header }, { bytes: data }] };
/** What cannot fail by itself fails where an outer container's filter refuses it, as Node's own may be one. */
const forbid = (name: string): Step[] => [
  { call: 'prctl', args: [38, 1, 0, 0, 0] }, // PR_SET_NO_NEW_PRIVS
  loadSeccomp({
    program: compileSeccomp({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: [name], action: 'SCMP_ACT_ERRNO', errnoRet: 1 }],
    }),
  }),
];

const FAILING: Readonly<Record<string, Failing>> = {
  // There is no gate, or, in a new user namespace, nobody at its other end any more.
  await_monitor: { args: [], code: ['EBADF', 'ECANCELED'], says: '' },
  // In a plan that does not say that it parks.
  await_program: { args: [none], code: 'EINVAL', says: 'none' },
  bind: { args: [none, zeros(16), 16], code: 'EBADF', says: 'none, {16 zeros}, 16' },
  // No instructions, or no right to load any.
  bpf: { args: [named(5, 'BPF_PROG_LOAD'), zeros(64), 64], code: ['E2BIG', 'EFAULT', 'EPERM'], says: 'BPF_PROG_LOAD, {64 zeros}, 64' },
  capset: { args: [zeros(8), zeros(24)], code: 'EINVAL', says: '{8 zeros}, {24 zeros}' },
  chdir: { args: [nowhere], code: 'ENOENT', says: '"/nowhere/at/all"', path: nowhere },
  close: { args: [none], code: 'EBADF', says: 'none' },
  close_fds: { args: [3], code: 'EINVAL', says: '3', stage: 'prepare' },
  close_range: { args: [5, 3, 0], code: 'EINVAL', says: '5, 3, 0' },
  connect: { args: [none, zeros(16), 16], code: 'EBADF', says: 'none, {16 zeros}, 16' },
  copy_tree: { args: [none, none, 0], code: 'EBADF', says: 'none, none, 0' },
  dup3: {
    args: [none, 5, 0],
    code: 'EBADF',
    says: 'none, 5, 0',
    doing: 'give the program its descriptors',
    hint: 'the number lies above the limit of open files: rlimits.nofile',
  },
  execve: {
    args: [nowhere, strings, strings],
    code: 'ENOENT',
    says: '"/nowhere/at/all", ["x"], ["x"]',
    path: nowhere,
    hint: 'there is no /nowhere/at/all inside, or the interpreter or loader that it names is missing; paths and PATH are those of the new root',
  },
  execveat: {
    args: [99, '', strings, strings, named(0x1000, 'AT_EMPTY_PATH')],
    code: 'EBADF',
    says: '99, "", ["x"], ["x"], AT_EMPTY_PATH',
  },
  faccessat: { args: [AT_FDCWD, nowhere, 0], code: 'ENOENT', says: 'AT_FDCWD, "/nowhere/at/all", 0', path: nowhere },
  faccessat2: { args: [AT_FDCWD, nowhere, 0, 0], code: 'ENOENT', says: 'AT_FDCWD, "/nowhere/at/all", 0, 0', path: nowhere },
  fchdir: { args: [none], code: 'EBADF', says: 'none' },
  fchmodat: { args: [AT_FDCWD, nowhere, 0o600], code: 'ENOENT', says: 'AT_FDCWD, "/nowhere/at/all", 384', path: nowhere },
  fchown: { args: [none, 0, 0], code: 'EBADF', says: 'none, 0, 0' },
  fchownat: { args: [AT_FDCWD, nowhere, 0, 0, 0], code: 'ENOENT', says: 'AT_FDCWD, "/nowhere/at/all", 0, 0, 0', path: nowhere },
  fcntl: { args: [none, named(1030, 'F_DUPFD_CLOEXEC'), 10], code: 'EBADF', says: 'none, F_DUPFD_CLOEXEC, 10' },
  finish: { args: [0], code: 'EINVAL', says: '0', stage: 'prepare' },
  flock: { args: [none, named(2, 'LOCK_EX')], code: 'EBADF', says: 'none, LOCK_EX' },
  fsconfig: {
    first: [{ call: 'fsopen', args: ['tmpfs', 0], into: 'fs' }],
    args: [slot('fs'), named(1, 'FSCONFIG_SET_STRING'), 'colour', 'red', 0],
    code: 'EINVAL',
    says: 'fs, FSCONFIG_SET_STRING, "colour", "red", 0',
  },
  fsmount: { first: [root], args: [slot('root'), 0, 0], code: 'EINVAL', says: 'root, 0, 0' },
  fsopen: { args: ['nosuchfs', 0], code: 'ENODEV', says: '"nosuchfs", 0' },
  fsetxattr: { args: [none, 'user.x', zeros(1), 1, 0], code: 'EBADF', says: 'none, "user.x", {1 zeros}, 1, 0' },
  fspick: { args: [AT_FDCWD, nowhere, 0], code: 'ENOENT', says: 'AT_FDCWD, "/nowhere/at/all", 0', path: nowhere },
  getpid: { first: forbid('getpid'), args: [], code: 'EPERM', says: '' },
  ioctl: {
    first: [root],
    args: [slot('root'), named(0x5441, 'TIOCGPTPEER'), 2],
    code: 'ENOTTY',
    says: 'root, TIOCGPTPEER, 2',
    doing: 'make the terminal',
    hint: 'somebody inside has put something else in the place of /dev/ptmx',
  },
  ioprio_set: {
    first: [powerless],
    args: [named(1, 'IOPRIO_WHO_PROCESS'), 0, named(1 << 13, 'realtime|0')],
    code: ['EPERM', 'ENOSYS'],
    says: 'IOPRIO_WHO_PROCESS, 0, realtime|0',
    hint: 'the real-time class needs CAP_SYS_NICE or CAP_SYS_ADMIN in the host’s user namespace',
  },
  keyctl: { args: [9999], code: ['ENOTSUP', 'ENOSYS'], says: '9999' },
  landlock_add_rule: {
    args: [none, named(1, 'LANDLOCK_RULE_PATH_BENEATH'), zeros(12), 0],
    code: ['EBADF', 'ENOTSUP', 'ENOSYS'],
    says: 'none, LANDLOCK_RULE_PATH_BENEATH, {12 zeros}, 0',
  },
  landlock_create_ruleset: { args: [zeros(8), 8, 0], code: ['ENOMSG', 'ENOTSUP', 'ENOSYS'], says: '{8 zeros}, 8, 0' },
  landlock_restrict_self: {
    first: [powerless],
    args: [none, 0],
    code: ['EPERM', 'ENOTSUP', 'ENOSYS'],
    says: 'none, 0',
    hint: 'give noNewPrivileges: true, without which Landlock needs CAP_SYS_ADMIN',
  },
  listen: { args: [none, 1], code: 'EBADF', says: 'none, 1' },
  listen_seccomp: {
    first: [powerless, { call: 'socket', args: [1, 1, 0], into: 'socket' }],
    args: [named(8, 'SECCOMP_FILTER_FLAG_NEW_LISTENER'), filter, slot('socket')],
    code: 'EACCES',
    says: 'SECCOMP_FILTER_FLAG_NEW_LISTENER, {filter}, socket',
    hint: 'a filter needs noNewPrivileges: true, or CAP_SYS_ADMIN in a user namespace of its own',
  },
  // A slot that nothing is in: refused before anything is made.
  make_target: { args: [none, nowhere], code: 'EBADF', says: 'none, "/nowhere/at/all"', path: nowhere },
  mkdirat: { args: [AT_FDCWD, nowhere, 0o700], code: 'ENOENT', says: 'AT_FDCWD, "/nowhere/at/all", 448', path: nowhere },
  mknodat: { args: [AT_FDCWD, nowhere, 0o100600, 0], code: 'ENOENT', says: 'AT_FDCWD, "/nowhere/at/all", 33152, 0', path: nowhere },
  mount: { args: ['none', nowhere, 'tmpfs', 0, null], code: 'ENOENT', says: '"none", "/nowhere/at/all", "tmpfs", 0, NULL', path: nowhere },
  mount_setattr: {
    args: [AT_FDCWD, nowhere, 0, words('{set=MOUNT_ATTR_RDONLY}', 1, 0, 0, 0, 0, 0, 0, 0), 32],
    code: 'ENOENT',
    says: 'AT_FDCWD, "/nowhere/at/all", 0, {set=MOUNT_ATTR_RDONLY}, 32',
    path: nowhere,
  },
  move_mount: {
    args: [none, '', AT_FDCWD, '/', named(4, 'MOVE_MOUNT_F_EMPTY_PATH')],
    code: 'EBADF',
    says: 'none, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH',
  },
  move_report: {
    args: [0x7fffffff],
    code: 'EINVAL',
    says: '2147483647',
    doing: 'give the program its descriptors',
    hint: 'the numbers lie above the limit of open files: rlimits.nofile',
  },
  open_tree: { args: [AT_FDCWD, nowhere, 1], code: 'ENOENT', says: 'AT_FDCWD, "/nowhere/at/all", 1', path: nowhere },
  openat: {
    args: [AT_FDCWD, '/proc/sys/net/no/such/thing', 1],
    code: 'ENOENT',
    says: 'AT_FDCWD, "/proc/sys/net/no/such/thing", 1',
    path: '/proc/sys/net/no/such/thing',
    hint: 'this kernel has no such parameter, or not in this namespace',
  },
  openat2: {
    args: [AT_FDCWD, '/proc/self/cwd', openHow(['O_PATH'], ['RESOLVE_NO_MAGICLINKS']), 24],
    code: 'ELOOP',
    says: 'AT_FDCWD, "/proc/self/cwd", {flags=O_PATH, resolve=RESOLVE_NO_MAGICLINKS}, 24',
    path: '/proc/self/cwd',
    hint: 'the path leads through a magic link of /proc, which is not followed',
  },
  personality: { first: forbid('personality'), args: [named(8, 'LINUX32')], code: 'EPERM', says: 'LINUX32' },
  pivot_root: { args: ['/proc/self', '/proc/self'], code: 'EINVAL', says: '"/proc/self", "/proc/self"', path: '/proc/self' },
  prctl: { args: [named(24, 'PR_CAPBSET_DROP'), 63, 0, 0, 0], code: 'EINVAL', says: 'PR_CAPBSET_DROP, 63, 0, 0, 0' },
  prlimit64: {
    first: [powerless],
    args: [0, named(7, 'RLIMIT_NOFILE'), words('{0, -1}', 0, 0, 0xffffffff, 0xffffffff), null],
    code: 'EPERM',
    says: '0, RLIMIT_NOFILE, {0, -1}, NULL',
    hint: 'raising a hard limit needs CAP_SYS_RESOURCE; ask for no more than the present hard limit',
  },
  read: { args: [none, zeros(8), 1], code: 'EBADF', says: 'none, {8 zeros}, 1' },
  remove_tree: { args: ['/proc/self/status'], code: 'ENOTDIR', says: '"/proc/self/status"', path: '/proc/self/status' },
  rt_sigprocmask: { args: [9, zeros(8), null, 8], code: 'EINVAL', says: '9, {8 zeros}, NULL, 8' },
  sched_setaffinity: {
    args: [0, 8, zeros(8)],
    code: 'EINVAL',
    says: '0, 8, {8 zeros}',
    hint: 'none of these processors is there, or the cpuset of its cgroup has none of them',
  },
  sched_setattr: {
    first: [powerless],
    args: [0, words('{SCHED_FIFO 99}', 48, 1, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0), 0],
    code: 'EPERM',
    says: '0, {SCHED_FIFO 99}, 0',
    hint: 'real-time policies and raised priorities need CAP_SYS_NICE in the host’s user namespace, or RLIMIT_RTPRIO and RLIMIT_NICE; SCHED_DEADLINE needs all processors of the root domain in the affinity',
  },
  seccomp: {
    first: [powerless],
    args: [named(1, 'SECCOMP_SET_MODE_FILTER'), 0, filter],
    code: 'EACCES',
    says: 'SECCOMP_SET_MODE_FILTER, 0, {filter}',
    hint: 'a filter needs noNewPrivileges: true, or CAP_SYS_ADMIN in a user namespace of its own',
  },
  sendmsg: { args: [none, zeros(56), 0], code: 'EBADF', says: 'none, {56 zeros}, 0' },
  set_mempolicy: {
    args: [99, null, 0],
    code: ['EINVAL', 'ENOSYS'],
    says: '99, NULL, 0',
    hint: 'the mode does not go with these nodes, or none of them is there or in the cpuset',
  },
  setdomainname: { args: ['x'.repeat(65), 65], code: 'EINVAL', says: `"${'x'.repeat(65)}", 65` },
  setgroups: { args: [70_000, null], code: ['EINVAL', 'EPERM'], says: '70000, NULL' },
  sethostname: { args: ['x'.repeat(65), 65], code: 'EINVAL', says: `"${'x'.repeat(65)}", 65` },
  setns: { args: [none, 0], code: 'EBADF', says: 'none, 0' },
  setpriority: {
    first: [powerless],
    args: [named(0, 'PRIO_PROCESS'), 0, -20],
    code: 'EACCES',
    says: 'PRIO_PROCESS, 0, -20',
    hint: 'lowering the nice value needs CAP_SYS_NICE in the host’s user namespace, or RLIMIT_NICE',
  },
  setresgid: { first: [powerless], args: [54_321, 54_321, 54_321], code: ['EPERM', 'EINVAL'], says: '54321, 54321, 54321' },
  setresuid: { first: [powerless], args: [54_321, 54_321, 54_321], code: ['EPERM', 'EINVAL'], says: '54321, 54321, 54321' },
  setsid: { args: [], code: 'EPERM', says: '' },
  setsockopt: { args: [none, 1, 2, zeros(4), 4], code: 'EBADF', says: 'none, 1, 2, {4 zeros}, 4' },
  socket: { args: [999, 1, 0], code: 'EAFNOSUPPORT', says: '999, 1, 0' },
  symlinkat: { args: ['x', AT_FDCWD, '/proc'], code: 'EEXIST', says: '"x", AT_FDCWD, "/proc"', path: '/proc' },
  umask: { first: forbid('umask'), args: [0o22], code: 'EPERM', says: '18' },
  umount2: { args: [nowhere, named(2, 'MNT_DETACH')], code: 'ENOENT', says: '"/nowhere/at/all", MNT_DETACH', path: nowhere },
  unlinkat: { args: [AT_FDCWD, nowhere, 0], code: 'ENOENT', says: 'AT_FDCWD, "/nowhere/at/all", 0', path: nowhere },
  unshare: { args: [named(1, '0x1')], code: 'EINVAL', says: '0x1' },
  write: { args: [none, 'text', 4], code: 'EBADF', says: 'none, "text", 4' },
};

/** Kinds whose failure nobody reads, and why. */
const UNHEARD: Readonly<Record<string, string>> = {
  assert_monitor: 'it fails when the monitor, who would be told, is dead: lifetime.test.ts looks at what is then left',
  report_file: 'a file that is not there is a number that is not told, and no failure',
};

it('each kind of step that a package makes has its failure here, or a reason', () => {
  const { kinds, computed } = stepKinds();
  expect(computed, 'steps whose kind is not written where they are made').toEqual([]);
  expect(kinds.size).toBeGreaterThan(50);
  const known = new Set([...Object.keys(FAILING), ...Object.keys(UNHEARD)]);
  const missing = [...kinds].filter(([kind]) => !known.has(kind)).map(([kind, places]) => `${kind}: ${places[0]}`);
  expect(missing, 'kinds without a failing test').toEqual([]);
  expect(
    [...known].filter((kind) => !kinds.has(kind)),
    'kinds that nothing makes any more',
  ).toEqual([]);
});

describe.skipIf(!needs.ok)(needs.title('the failure of'), () => {
  it.each(Object.entries(FAILING))('%s says what was being done, the call, the errno and the cure', async (call, f) => {
    const doing = f.doing ?? `try ${call}`;
    const step: Step = { call, args: f.args, doing };
    const steps = [...(f.first ?? []), step];
    const o: Partial<SpawnOptions> = f.stage === 'prepare' ? { prepare: steps } : { root: { steps, slot: 'root' } };
    const error = (await run({ args: ['/bin/true'], namespaces, ...o }).catch((e) => e)) as StartError;
    expect(error).toMatchObject({ name: 'StartError', code: 'CTR_START_FAILED', syscall: call, step: { call }, stage: f.stage ?? 'setup' });
    const codes = [f.code].flat();
    const [first = '', second, ...rest] = error.message.split('\n');
    const told = /^(.*): ([a-z0-9_]+): ([A-Z0-9]+) \((.+)\)$/.exec(first) ?? [];
    expect([told[1], told[2], told[4]]).toEqual([`start /bin/true: ${doing}`, call, expect.stringMatching(/^[a-z]/)]);
    expect(codes).toContain(told[3]);
    expect(second).toBe(`  ${call}(${f.says})`);
    expect(error.path).toBe(f.path ?? error.path);
    // The cure belongs to the first errno; with another one there may be another, or none.
    if (told[3] === codes[0]) expect(rest).toEqual(f.hint === undefined ? [] : [`  hint: ${f.hint}`]);
  });
});
