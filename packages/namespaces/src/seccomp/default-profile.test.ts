// The default profile: complete, compiled right on both architectures, and refusing what it must.
import { describe, expect, it } from 'vitest';
import { naiveSeccomp, randomNumbers } from '../../test/naive-seccomp.js';
import { CAPABILITIES, DEFAULT_CAPABILITIES } from '../capabilities.js';
import { SYSCALL_ARCHES, syscallNumber, syscallTable } from '../syscalls/index.js';
import { compileSeccomp } from './compile.js';
import { defaultSeccompFilter, defaultSeccompProfile } from './default-profile.js';
import { ALLOWED, BY_ARGUMENT, DENIED, GONE, OPENED_BY } from './default-table.js';
import { seccompProgramFault, seccompSimulator, simulateSeccomp } from './simulate.js';

const SETS: readonly (readonly string[])[] = [
  [],
  DEFAULT_CAPABILITIES,
  ['CAP_NET_ADMIN', 'CAP_SYSLOG'],
  ['CAP_NET_RAW', 'CAP_AUDIT_WRITE', 'CAP_BPF'],
  CAPABILITIES,
];

/** Values that matter to some rule, with rubbish in the high words. */
const ARGS = [
  0n,
  1n,
  2n,
  8n,
  9n,
  10n,
  16n,
  17n,
  38n,
  40n,
  0x5412n,
  0x541cn,
  0x20000n,
  0x20008n,
  0x10000000n,
  0x7e020000n,
  0xffffffffn,
  0x1_0000_5412n,
  0x1_0000_0001n,
  0xffffffffffffffffn,
];

describe('the table', () => {
  it('decides each system call of both architectures exactly once', () => {
    const opened = new Set(Object.values(OPENED_BY).flat());
    const decided = [...ALLOWED, ...opened, ...DENIED, ...GONE, ...BY_ARGUMENT];
    const known = new Set(SYSCALL_ARCHES.flatMap((arch) => [...syscallTable(arch).keys()]));
    expect(decided.filter((name, i) => decided.indexOf(name) !== i)).toEqual([]);
    expect([...known].filter((name) => !decided.includes(name))).toEqual([]);
    expect(decided.filter((name) => !known.has(name))).toEqual([]);
  });
});

describe.each(SYSCALL_ARCHES)('the compiled default filter on %s', (arch) => {
  it.each(SETS.map((set) => [set.length, set] as const))(
    'agrees with the profile for every number and argument (%i capabilities)',
    (_, capabilities) => {
      const naive = naiveSeccomp(defaultSeccompProfile({ capabilities }), arch);
      const filter = defaultSeccompFilter(capabilities, arch);
      expect(seccompProgramFault(filter)).toBeUndefined();
      const simulate = seccompSimulator(filter);
      const wrong: object[] = [];
      for (let nr = 0; nr <= 1100; nr++) {
        for (const [i, value] of ARGS.entries()) {
          const args = [value, ARGS[(i * 7) % ARGS.length] as bigint, ARGS[(i * 3) % ARGS.length] as bigint];
          const [found, expected] = [simulate({ arch, nr, args }).value, naive({ nr, args })];
          if (found !== expected) wrong.push({ nr, args, found, expected });
        }
      }
      expect(wrong).toEqual([]);
    },
  );

  it('agrees with the profile in 100,000 random calls', () => {
    const random = randomNumbers(arch === 'x64' ? 3 : 4);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    const cases = SETS.map((capabilities) => ({
      naive: naiveSeccomp(defaultSeccompProfile({ capabilities }), arch),
      simulate: seccompSimulator(defaultSeccompFilter(capabilities, arch)),
    }));
    const tricky = BY_ARGUMENT.map((name) => syscallTable(arch).get(name)).filter((nr) => nr !== undefined);
    let wrong = 0;
    for (let i = 0; i < 100_000; i++) {
      const { naive, simulate } = pick(cases);
      const nr = i % 3 === 0 ? pick(tricky) : i % 3 === 1 ? Math.floor(random() * 520) : Math.floor(random() * 2 ** 32);
      const args = Array.from({ length: 6 }, () => (random() < 0.7 ? pick(ARGS) : BigInt(Math.floor(random() * 2 ** 32))));
      const foreign = random() < 0.05;
      const found = simulate({ arch: foreign ? (arch === 'x64' ? 'x86' : 'arm') : arch, nr, args }).value;
      if (found !== naive({ nr, args, foreign })) wrong++;
    }
    expect(wrong).toBe(0);
  });
});

describe('what it refuses', () => {
  const ask = (name: string, args: (number | bigint)[] = [], capabilities: readonly string[] = DEFAULT_CAPABILITIES) => {
    const { action, data } = simulateSeccomp(defaultSeccompFilter(capabilities, 'x64'), {
      arch: 'x64',
      nr: syscallNumber(name, 'x64'),
      args,
    });
    return action === 'SCMP_ACT_ERRNO' ? data : action;
  };
  const ALLOW = 'SCMP_ACT_ALLOW';

  it('the rare and dangerous calls, with EPERM', () => {
    const names =
      'userfaultfd bpf perf_event_open io_uring_setup io_uring_enter io_uring_register kexec_load kexec_file_load init_module finit_module delete_module open_by_handle_at lookup_dcookie quotactl swapon swapoff acct reboot iopl ioperm add_key request_key keyctl move_pages migrate_pages process_madvise pidfd_getfd kcmp mount umount2 pivot_root unshare setns settimeofday clock_settime syslog sysfs ustat uselib vhangup get_mempolicy mbind set_mempolicy sethostname fsopen open_tree open_tree_attr mount_setattr move_mount';
    expect(names.split(' ').filter((name) => ask(name) !== 1)).toEqual([]);
  });

  it('calls that Linux no longer has, with ENOSYS', () => {
    expect(GONE.filter((name) => syscallTable('x64').has(name) && ask(name) !== 38)).toEqual([]);
  });

  it('namespaces by clone, each flag alone and all together; clone3 with ENOSYS', () => {
    const flags = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x7e020000];
    expect(flags.map((flag) => ask('clone', [flag | 17]))).toEqual(Array(8).fill(1));
    expect(ask('clone', [0x3d0f00])).toBe(ALLOW); // pthread_create
    expect(ask('clone', [0x4111])).toBe(ALLOW); // vfork of posix_spawn
    expect(ask('clone3')).toBe(38);
  });

  it('sockets of all families but four, and netlink but routes', () => {
    const families = Array.from({ length: 46 }, (_, family) => family);
    expect(families.filter((family) => ask('socket', [family, 1, 0]) === ALLOW)).toEqual([1, 2, 10, 16]);
    expect(families.filter((family) => ![1, 2, 10, 16].includes(family) && ask('socket', [family]) !== 97)).toEqual([]);
    expect([0, 4, 9, 12, 15, 16].map((protocol) => ask('socket', [16, 3, protocol]))).toEqual([ALLOW, 93, 93, 93, 93, 93]);
    expect([ask('socketpair', [1]), ask('socketpair', [2]), ask('socketpair', [30])]).toEqual([ALLOW, 97, 97]);
    expect(ask('socket', [(1n << 32n) | 38n])).toBe(97);
  });

  it('typing into the terminal, also with rubbish in the high word', () => {
    expect([0x5412, 0x541c, 0x1_0000_5412n, -1n * 0xffffabeen].map((request) => ask('ioctl', [0, request]))).toEqual([1, 1, 1, 1]);
    expect([0x5401, 0x5413, 0xffffffff80045430n].map((request) => ask('ioctl', [0, request]))).toEqual([ALLOW, ALLOW, ALLOW]);
  });

  it('personalities but five', () => {
    expect([0, 8, 0x20000, 0x20008, 0xffffffff, -1].map((p) => ask('personality', [p]))).toEqual(Array(6).fill(ALLOW));
    expect([0x0040000, 0x0400000, 4, 0x20001].map((p) => ask('personality', [p]))).toEqual(Array(4).fill(1));
  });

  it.each([
    ['CAP_SYS_ADMIN', ['mount', 'clone3', 'unshare', 'setns', 'pivot_root', 'bpf', 'syslog', 'open_tree_attr']],
    ['CAP_SYS_CHROOT', ['chroot']],
    ['CAP_DAC_READ_SEARCH', ['open_by_handle_at']],
    ['CAP_SYS_BOOT', ['reboot']],
    ['CAP_SYS_MODULE', ['finit_module']],
    ['CAP_SYS_NICE', ['mbind']],
    ['CAP_SYS_PACCT', ['acct']],
    ['CAP_SYS_PTRACE', ['kcmp', 'pidfd_getfd', 'process_madvise']],
    ['CAP_SYS_RAWIO', ['iopl']],
    ['CAP_SYS_TIME', ['clock_settime', 'settimeofday']],
    ['CAP_SYS_TTY_CONFIG', ['vhangup']],
    ['CAP_SYSLOG', ['syslog']],
    ['CAP_BPF', ['bpf']],
    ['CAP_PERFMON', ['perf_event_open']],
  ])('%s opens its calls', (capability, names) => {
    for (const name of names)
      expect([name, ask(name, [], []), ask(name, [], [capability])]).toEqual([name, name === 'clone3' ? 38 : 1, ALLOW]);
    expect([ask('io_uring_setup', [], [capability]), ask('keyctl', [], [capability])]).toEqual([1, 1]);
  });

  it('network capabilities open their sockets', () => {
    expect(ask('clone', [0x10000000], ['sys_admin'])).toBe(ALLOW);
    expect([ask('socket', [17], ['CAP_NET_RAW']), ask('socket', [38], ['CAP_NET_RAW'])]).toEqual([ALLOW, 97]);
    expect([ask('socket', [16, 3, 12], ['net_admin']), ask('socket', [16, 3, 9], ['audit_write'])]).toEqual([ALLOW, ALLOW]);
  });
});

it('gives way to what is put before it', () => {
  const profile = defaultSeccompProfile({ capabilities: [], arch: 'x64' });
  profile.syscalls?.unshift(
    { names: ['io_uring_setup'], action: 'SCMP_ACT_ALLOW' },
    { names: ['ptrace'], action: 'SCMP_ACT_KILL_PROCESS' },
  );
  const filter = compileSeccomp(profile, { arch: 'x64' });
  const actions = ['io_uring_setup', 'ptrace'].map(
    (name) => simulateSeccomp(filter, { arch: 'x64', nr: syscallNumber(name, 'x64') }).action,
  );
  expect(actions).toEqual(['SCMP_ACT_ALLOW', 'SCMP_ACT_KILL_PROCESS']);
});

describe('the cache', () => {
  it('gives the same bytes for the same filter, whatever the spelling and the capabilities that do not matter', () => {
    const filter = defaultSeccompFilter(DEFAULT_CAPABILITIES, 'x64');
    expect(defaultSeccompFilter(['sys_chroot'], 'x64')).toBe(filter);
    expect(defaultSeccompFilter(['CAP_SYS_CHROOT', 'CAP_CHOWN'], 'x64')).toBe(filter);
    expect(defaultSeccompFilter(DEFAULT_CAPABILITIES, 'arm64')).not.toBe(filter);
    expect(compileSeccomp(defaultSeccompProfile({ capabilities: DEFAULT_CAPABILITIES }), { arch: 'x64' })).toEqual(filter);
  });

  it('refuses unknown capabilities', () => {
    expect(() => defaultSeccompFilter(['CAP_SYS_ADMN'])).toThrow('did you mean "CAP_SYS_ADMIN"?');
    expect(() => defaultSeccompProfile({ capabilities: ['x'] })).toThrow('expected "capabilities[0]"');
  });

  it('stays small: loading costs by the instruction', () =>
    expect(defaultSeccompFilter(DEFAULT_CAPABILITIES, 'x64').length / 8).toBeLessThan(110));
});
