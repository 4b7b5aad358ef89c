// The further attributes of a process, read from inside by system calls: in new namespaces, and beside a running process.
import { execFileSync } from 'node:child_process';
import { mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import path from 'node:path';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type ContainerProcess,
  type EnterOptions,
  enter,
  Fd,
  type Mount,
  type ProcessAttributes,
  type SpawnOptions,
  spawn,
} from '../src/index.js';
import { activeLsm, landlockAbi } from '../src/spawn/host-facts.js';
import { buildFacts, parseFacts } from './facts.js';
import { asRoot, ENV, finished, leaks, messageOf, run, WAYS } from './run.js';

const needs = need('userns', 'static-cc');
const root = need('root');
const processors = /(?<=Cpus_allowed_list:\s*)\S+/.exec(readFileSync('/proc/self/status', 'utf8'))?.[0] ?? '0';
host.define('two-processors', { test: () => /[-,]/.test(processors), cure: 'run on a machine with two processors' });
const two = need('two-processors');
host.define('landlock', { test: () => landlockAbi() > 0, cure: 'a kernel with Landlock, and landlock among its lsm= parameters' });
const landlock = need('landlock');
/** Without it priorities cannot be raised. */
const niceOf = (/CapEff:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0').padStart(16, '0');
const mayRaise = (BigInt(`0x${niceOf}`) & (1n << 23n)) !== 0n;
const lastCpu = processors.split(/[-,]/).at(-1) as string;

describe.skipIf(!needs.ok)(needs.title('attributes'), () => {
  let program: string;
  beforeAll(() => {
    program = buildFacts();
  });

  describe.each(WAYS)('$way', ({ user }) => {
    const namespaces = { user, pid: 'new', uts: 'new', ipc: 'new', network: 'new' } as const;
    let box: ContainerProcess;
    beforeAll(async () => {
      box = await spawn({ args: ['sleep', '1000'], env: ENV, namespaces, stdio: ['ignore', 'ignore', 'ignore'] });
    });
    afterAll(() => box?.[Symbol.asyncDispose]());

    /** What a new process and one beside another say: the same. */
    async function facts(o: ProcessAttributes & Partial<SpawnOptions>): Promise<Record<string, string>> {
      const { namespaces: own = namespaces, ...program_ } = o;
      const [a, b] = await Promise.all([
        run({ args: [program], namespaces: own, ...program_ }),
        enter(box, { args: [program], env: ENV, ...program_ } as never).then(finished),
      ]);
      expect([a.stderr, b.stderr]).toEqual(['', '']);
      const [first, second] = [parseFacts(a.stdout), parseFacts(b.stdout)];
      const { keyring: _, ...theirs } = first;
      expect(second).toMatchObject({ ...theirs, fds: first['fds'] });
      expect(second['keyring']).not.toBe(_);
      return first;
    }

    it('are this process’s own unless asked for, but for the keyring', async () => {
      const f = await facts({});
      // As a child of this process has them.
      const { keyring: _, ...own } = parseFacts(execFileSync(program, { encoding: 'utf8' }));
      for (const key of ['scheduler', 'nice', 'ioprio', 'affinity', 'memory_policy', 'personality', 'oom_score_adj'])
        expect([key, f[key]]).toEqual([key, own[key]]);
      expect([f['pdeathsig'], f['fds']]).toEqual(['9', '0 1 2']);
    });

    it('scheduling policy, nice value and I/O priority', async () => {
      const f = await facts({ scheduler: { policy: 'SCHED_BATCH', nice: 19, flags: ['SCHED_FLAG_RESET_ON_FORK'] } });
      expect(f['scheduler']).toMatch(/^3 flags 1 nice 19 priority 0 /);
      expect((await facts({ scheduler: { policy: 'SCHED_IDLE' } }))['scheduler']).toMatch(/^5 /);
      // The last one may always be taken, wherever this test itself stands.
      expect((await facts({ nice: 19 }))['nice']).toBe('19');
      expect((await facts({ ioPriority: { class: 'IOPRIO_CLASS_BE', priority: 6 } }))['ioprio']).toBe('2 6');
      expect((await facts({ ioPriority: { class: 'IOPRIO_CLASS_IDLE' } }))['ioprio']).toBe('3 0');
    });

    it.skipIf(!mayRaise || user === 'new')('real-time policies, with all that they have', async () => {
      const f = await facts({ scheduler: { policy: 'SCHED_FIFO', priority: 3 } });
      expect(f['scheduler']).toMatch(/^1 flags 0 nice 0 priority 3 /);
      expect((await facts({ scheduler: { policy: 'SCHED_RR', priority: 1 } }))['scheduler']).toMatch(/^2 .*priority 1 /);
      const times = { runtime: 1_000_000, deadline: 5_000_000, period: 10_000_000 };
      const deadline = await run({ args: [program], namespaces, scheduler: { policy: 'SCHED_DEADLINE', ...times } });
      expect(parseFacts(deadline.stdout)['scheduler']).toMatch(/^6 .* times 1000000 5000000 10000000$/);
      expect((await facts({ nice: -3, ioPriority: { class: 'IOPRIO_CLASS_RT', priority: 1 } }))['nice']).toBe('-3');
    });

    it.skipIf(!two.ok)(two.title('processors'), async () => {
      expect((await facts({ cpuAffinity: lastCpu }))['affinity']).toBe(lastCpu);
      expect((await facts({ cpuAffinity: `${lastCpu},${lastCpu}-${lastCpu},8000` }))['affinity']).toBe(lastCpu);
      const first = await enter(box, { args: [program], env: ENV, initialCpuAffinity: '0' }).then(finished);
      expect(parseFacts(first.stdout)['affinity']).toBe('0');
      const both = await enter(box, { args: [program], env: ENV, initialCpuAffinity: '0', cpuAffinity: lastCpu }).then(finished);
      expect(parseFacts(both.stdout)['affinity']).toBe(lastCpu);
    });

    it('memory policy and personality', async () => {
      expect((await facts({ memoryPolicy: { mode: 'MPOL_BIND', nodes: '0', flags: ['MPOL_F_STATIC_NODES'] } }))['memory_policy']).toBe(
        '32770 1',
      );
      expect((await facts({ memoryPolicy: { mode: 'MPOL_LOCAL' } }))['memory_policy']).toBe('4 0');
      const f = await facts({ personality: { domain: 'LINUX32', flags: ['ADDR_NO_RANDOMIZE'] } });
      expect([f['personality'], f['machine']]).toEqual(['40008', process.arch === 'x64' ? 'i686' : 'armv8l']);
    });

    it('a session keyring of its own, unless the user’s is wanted', async () => {
      const ring = async (o: ProcessAttributes): Promise<string | undefined> =>
        parseFacts((await run({ args: [program], namespaces, ...o })).stdout)['keyring'];
      const [first, second, inherited] = [await ring({}), await ring({}), await ring({ keyring: 'inherit' })];
      expect(new Set([first, second, inherited]).size).toBe(3);
      // Without one a process has that of its user, and each user namespace has users of its own.
      if (user === 'host') expect(await ring({ keyring: 'inherit' })).toBe(inherited);
    });

    it('descriptors under numbers of one’s own, also where others are open', async () => {
      const dir = makeTempDir('fds');
      const fds: Record<number, Fd> = {};
      for (const n of [3, 4, 5, 6, 7, 8, 9, 10, 20, 21, 40, 63, 200]) {
        const file = path.join(dir, String(n));
        writeFileSync(file, `${n}\n`);
        fds[n] = Fd.of(openSync(file, 'r'));
      }
      const line = Object.keys(fds)
        .map((n) => `readlink /proc/self/fd/${n}`)
        .join('; ');
      const both = await Promise.all([
        run({ args: ['bash', '-c', line], namespaces, fds }),
        enter(box, { args: ['bash', '-c', line], env: ENV, fds }).then(finished),
      ]);
      for (const r of both)
        expect([r.stdout, r.stderr]).toEqual([
          `${Object.keys(fds)
            .map((n) => path.join(dir, n))
            .join('\n')}\n`,
          '',
        ]);
      for (const fd of Object.values(fds)) fd.close();
      using one = Fd.of(openSync('/dev/null', 'r'));
      expect((await facts({ fds: { 7: one } }))['fds']).toBe('0 1 2 7');
    });

    it('failures come through with descriptors of one’s own, too', async () => {
      using fd = Fd.of(openSync('/dev/null', 'r'));
      expect(await messageOf(run({ args: ['/nowhere'], namespaces, fds: { 3: fd, 500: fd } }))).toContain('run /nowhere: execve: ENOENT');
      const o = { namespaces, fds: { 60000: fd }, rlimits: { nofile: { soft: 50, hard: 50 } } };
      expect(await messageOf(run({ args: ['true'], ...o }))).toMatchInlineSnapshot(`
        "start true: give the program its descriptors: move_report: EINVAL (invalid argument)
          move_report(60001)
          hint: the numbers lie above the limit of open files: rlimits.nofile"
      `);
    });

    it('a signal at the death of the launcher', async () => {
      expect((await facts({ parentDeathSignal: 'SIGTERM' }))['pdeathsig']).toBe('15');
    });

    it.skipIf(!landlock.ok)(landlock.title('files and ports that Landlock leaves'), async () => {
      const dir = makeTempDir('landlock');
      mkdirSync(path.join(dir, 'in'), { mode: 0o777 });
      mkdirSync(path.join(dir, 'out'), { mode: 0o777 });
      writeFileSync(path.join(dir, 'file'), 'one file\n');
      writeFileSync(path.join(dir, 'out/secret'), 'secret\n');
      const rules = {
        paths: [
          { path: '/usr', access: ['execute'] },
          ...['/bin', '/lib', '/lib64', '/sbin']
            .filter((p) => readdirSync('/').includes(p.slice(1)))
            .map((p) => ({ path: p, access: ['execute'] })),
          { path: '/etc', access: ['read'] },
          { path: '/dev/null', access: ['all'] },
          { path: path.join(dir, 'in'), access: ['all'] },
          { path: path.join(dir, 'file'), access: ['read'] },
        ],
        ...(landlockAbi() >= 4 ? { tcp: { bind: [] } } : {}),
      };
      const line = 'cat file; echo x >in/x && cat in/x; cat out/secret; echo x >file; true';
      for (const noNewPrivileges of [true, ...(user === 'new' || asRoot ? [false] : [])]) {
        const o = { args: ['sh', '-c', line], cwd: dir, landlock: rules, noNewPrivileges };
        // One after the other: both write the same file.
        for (const start of [() => run({ ...o, namespaces }), () => enter(box, { ...o, env: ENV }).then(finished)]) {
          const r = await start();
          expect(r.stdout).toBe('one file\nx\n');
          expect(r.stderr).toMatch(/out\/secret: Permission denied\n.*file: Permission denied/);
        }
      }
      const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
      expect((await run({ args: ['true'], namespaces, landlock: rules, capabilities: none, noNewPrivileges: true })).exitCode).toBe(0);
    });

    it('sysctls of its own namespaces, through its own procfs and the host’s', async () => {
      const sysctls = { 'net.ipv4.ip_forward': '1', 'net.ipv4.conf.lo.forwarding': '1', 'net/ipv4/conf/lo/rp_filter': '2' };
      const args = ['cat', '/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv4/conf/lo/rp_filter'];
      const before = readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8');
      expect((await run({ args, namespaces, sysctls })).stdout).toBe('1\n2\n');
      const mounts = [{ type: 'proc', target: '/proc' }] as const;
      expect((await run({ args, namespaces: { ...namespaces, mount: 'new' }, mounts, sysctls })).stdout).toBe('1\n2\n');
      expect(readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8')).toBe(before);
      if (user === 'host') {
        const ipc = { 'kernel.shmmni': '77', 'kernel.sem': '250 32000 32 99', 'fs.mqueue.msg_max': '11' };
        const r = await run({
          args: ['cat', '/proc/sys/kernel/shmmni', '/proc/sys/kernel/sem', '/proc/sys/fs/mqueue/msg_max'],
          namespaces,
          sysctls: ipc,
        });
        expect(r.stdout).toBe('77\n250\t32000\t32\t99\n11\n');
      }
    });

    it('limits of its own user and pid namespaces', async () => {
      const own = { user: 'new', pid: 'new', mount: 'new' } as const;
      const mounts: Mount[] = [{ type: 'proc', target: '/proc' }];
      const args = ['cat', '/proc/sys/user/max_uts_namespaces'];
      expect((await run({ args, namespaces: own, mounts, sysctls: { 'user.max_uts_namespaces': '3' } })).stdout).toBe('3\n');
      const sysctls = { 'kernel.pid_max': '4000' };
      const [major = 0, minor = 0] = release().split('.').map(Number);
      const since = major > 6 || (major === 6 && minor >= 14);
      const limited = run({ args: ['cat', '/proc/sys/kernel/pid_max'], namespaces: own, mounts, sysctls });
      if (since) expect((await limited).stdout).toBe('4000\n');
      else expect(await messageOf(limited)).toContain('left out before Linux 6.14');
      for (const refused of [{ 'user.max_uts_namespaces': '3' }, sysctls])
        expect(await messageOf(run({ args, namespaces: { mount: 'new' }, sysctls: refused }))).toMatch(
          /it would be the host's|left out before/,
        );
    });

    it('sysctls that fail say why', async () => {
      expect(await messageOf(run({ args: ['true'], namespaces, sysctls: { 'net.ipv4.nothing': '1' } }))).toMatchInlineSnapshot(`
        "start true: set net.ipv4.nothing to "1": openat: ENOENT (no such file or directory)
          sysctl = openat(AT_FDCWD, "/proc/sys/net/ipv4/nothing", O_WRONLY|O_CLOEXEC|O_NOFOLLOW)
          hint: this kernel has no such parameter, or not in this namespace"
      `);
      expect(await messageOf(run({ args: ['true'], namespaces, sysctls: { 'net.ipv4.ip_default_ttl': '100000' } }))).toMatchInlineSnapshot(`
        "start true: set net.ipv4.ip_default_ttl to "100000": write: EINVAL (invalid argument)
          write(sysctl, "100000", 6)"
      `);
    });

    it('leave nothing of the launcher’s behind', async () => {
      await facts({});
      const check = leaks();
      for (let i = 0; i < 10; i++) await facts({ nice: 19, personality: { domain: 'LINUX32' }, fds: {} });
      await check.assertClean();
    });
  });

  it('the systemd socket is passed on', async () => {
    const before = process.env['NOTIFY_SOCKET'];
    process.env['NOTIFY_SOCKET'] = '/run/systemd/notify';
    const said = await run({ args: [program], notifySocket: true });
    if (before === undefined) delete process.env['NOTIFY_SOCKET'];
    else process.env['NOTIFY_SOCKET'] = before;
    expect(parseFacts(said.stdout)['notify']).toBe('/run/systemd/notify');
    expect(parseFacts((await run({ args: [program] })).stdout)['notify']).toBe('none');
  });
});

describe('attributes that cannot be had', () => {
  it('the systemd socket, for what enters', async () => {
    const options = { args: ['true'], notifySocket: true } as EnterOptions;
    expect(await messageOf(enter(process.pid, options))).toContain('"notifySocket" to be left out');
  });

  const refused = (o: object): Promise<string> => messageOf(run({ args: ['true'], ...o }));

  it.skipIf(mayRaise)('raised priorities', async () => {
    expect(await refused({ scheduler: { policy: 'SCHED_FIFO', priority: 1 } })).toContain('sched_setattr: EPERM');
    expect(await refused({ nice: -5 })).toMatch(/setpriority: E(ACCES|PERM)/);
    expect(await refused({ ioPriority: { class: 'IOPRIO_CLASS_RT' } })).toContain('ioprio_set: EPERM');
  });

  it('say which call failed and what to do', async () => {
    expect(await refused({ cpuAffinity: '8000' })).toMatchInlineSnapshot(`
      "start true: run on the processors 8000: sched_setaffinity: EINVAL (invalid argument)
        sched_setaffinity(0, 1008, {8000})
        hint: none of these processors is there, or the cpuset of its cgroup has none of them"
    `);
    expect(await refused({ memoryPolicy: { mode: 'MPOL_BIND', nodes: '1000' } })).toMatchInlineSnapshot(`
      "start true: set the memory policy MPOL_BIND: set_mempolicy: EINVAL (invalid argument)
        set_mempolicy(MPOL_BIND, {1000}, 1025)
        hint: the mode does not go with these nodes, or none of them is there or in the cpuset"
    `);
    expect(await refused({ scheduler: { policy: 'SCHED_FIFO', priority: 0 } })).toMatchInlineSnapshot(`
      "start true: schedule by SCHED_FIFO: sched_setattr: EINVAL (invalid argument)
        sched_setattr(0, {SCHED_FIFO, priority=0}, 0)"
    `);
  });

  it.skipIf(!landlock.ok)(landlock.title('Landlock rules on what is not there'), async () => {
    const missing = { paths: [{ path: '/nowhere', access: ['read'] }] };
    expect(await refused({ landlock: missing, noNewPrivileges: true })).toMatchInlineSnapshot(`
      "start true: make the Landlock rules: openat2: ENOENT (no such file or directory)
        landlock.path = openat2(AT_FDCWD, "/nowhere", {flags=O_PATH|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS}, 24)"
    `);
  });

  it.skipIf(!landlock.ok || asRoot)(landlock.title('Landlock without the right to it'), async () => {
    expect(await refused({ landlock: { paths: [] } })).toContain('landlock_restrict_self: EPERM');
  });

  it.skipIf(activeLsm('apparmor'))('an AppArmor profile without AppArmor', async () => {
    expect(await refused({ apparmorProfile: 'docker-default' })).toMatchInlineSnapshot(
      `"apparmorProfile is not available here: it needs a host with AppArmor, which this one has not active"`,
    );
  });

  it.skipIf(activeLsm('selinux'))('an SELinux label without SELinux', async () => {
    expect(await refused({ selinuxLabel: 'system_u:system_r:container_t:s0' })).toMatchInlineSnapshot(
      `"selinuxLabel is not available here: it needs a host with SELinux, which this one has not active"`,
    );
  });

  it('are refused before anything is done when they make no sense', async () => {
    using open = Fd.of(openSync('/dev/null', 'r'));
    const bad: object[] = [
      { scheduler: { policy: 'SCHED_NORMAL' } },
      { scheduler: { policy: 'SCHED_OTHER' }, nice: 1 },
      { nice: 20 },
      { ioPriority: { class: 'rt' } },
      { cpuAffinity: '3-1' },
      { cpuAffinity: '' },
      { memoryPolicy: { mode: 'MPOL_BIND', nodes: '0-' } },
      { personality: { domain: 'LINUX64' } },
      { keyring: 'none' },
      { landlock: { paths: [{ path: 'usr', access: ['read'] }] } },
      { landlock: { paths: [{ path: '/usr', access: ['look'] }] } },
      { fds: { 2: open } },
      { fds: { 3: 3 } },
      { parentDeathSignal: 'SIGNOTHING' },
      { sysctls: { 'kernel.panic': '1' }, namespaces: { ipc: 'new', network: 'new', uts: 'new' } },
      { sysctls: { 'net.ipv4.ip_forward': '1' } },
      { sysctls: { 'net/../kernel/panic': '1' }, namespaces: { network: 'new' } },
      { sysctls: { 'kernel.hostname': 'x' }, namespaces: { uts: 'new' } },
    ];
    expect((await Promise.all(bad.map(refused))).join('\n')).toMatchInlineSnapshot(`
      "expected "scheduler.policy" to be one of SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE, received "SCHED_NORMAL" (string)
      expected "nice" to be left out with scheduler, which has its own, received 1 (number)
      expected "nice" to be an integer from -20 to 19, received 20 (number)
      expected "ioPriority.class" to be one of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE, received "rt" (string)
      expected "cpuAffinity" to be a list of numbers and ranges up to 8191, such as '0-3,7', received "3-1" (string)
      expected "cpuAffinity" to be a list of numbers and ranges up to 8191, such as '0-3,7', received "" (string)
      expected "memoryPolicy.nodes" to be a list of numbers and ranges up to 1023, such as '0-3,7', received "0-" (string)
      expected "personality.domain" to be one of LINUX, LINUX32, received "LINUX64" (string)
      expected "keyring" to be one of new, inherit, received "none" (string)
      expected "landlock.paths[0].path" to be an absolute path, received "usr" (string)
      expected "landlock.paths[0].access[0]" to be one of read, execute, all, write-file, read-file, read-dir, remove-dir, remove-file, make-char, make-dir, make-reg, make-sock, make-fifo, make-block, make-sym, refer, truncate, ioctl-dev, received "look" (string)
      expected "fds" to be an integer from 3 to 65535, received 2 (number)
      expected "fds[3]" to be an open Fd, received 3 (number)
      expected "parentDeathSignal" to be a signal such as 'SIGTERM' or 15, received "SIGNOTHING" (string)
      expected "sysctls[\\"kernel.panic\\"]" to be left out: it is not of a namespace but of the whole host, received "1" (string)
      expected "sysctls[\\"net.ipv4.ip_forward\\"]" to be left out, or namespaces.network 'new': it would be the host's, received "1" (string)
      expected "sysctls" to be names such as 'net.ipv4.ip_forward', received "net/../kernel/panic" (string)
      expected "sysctls[\\"kernel.hostname\\"]" to be left out: it is the option hostname, received "x" (string)"
    `);
    using own = Fd.of(openSync('/proc/self/ns/net', 'r'));
    expect(await refused({ sysctls: { 'net.ipv4.ip_forward': '1' }, namespaces: { network: own } })).toContain('it would be the host');
  });

  it.skipIf(!root.ok)(root.title('leave nothing behind'), async () => {
    const check = leaks();
    await refused({ cpuAffinity: '8000', namespaces: { pid: 'new' } });
    await refused({ landlock: { paths: [{ path: '/nowhere', access: ['read'] }] }, noNewPrivileges: true });
    await check.assertClean();
  });
});
