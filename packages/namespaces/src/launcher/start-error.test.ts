// From numbers to sentences: what a report of the monitor becomes.
import { describe, expect, it } from 'vitest';
import { defaultHints, describeSpawn, StartError } from '../index.js';
import { decodeEvent, decodeExit, decodeFailures, decodeFiles, STAGE_NAMES } from './events.js';
import { cleanupErrors, startError } from './start-error.js';

const plan = describeSpawn(
  {
    args: ['tool'],
    doing: 'start container "web"',
    env: { PATH: '/bin', SECRET: 'password' },
    namespaces: { user: 'new', pid: 'new', mount: 'new' },
    mounts: [{ type: 'tmpfs', target: '/tmp' }],
    rlimits: { nofile: { soft: 1, hard: 2 } },
    cleanup: [
      { call: 'unlinkat', args: [-100, '/state', 0x200], doing: 'remove the state' },
      { call: 'remove_tree', args: ['/upper'] },
    ],
  },
  { uid: 1000, gid: 100 },
);
const setup = plan.stages.setup.flat();
const at = (call: string): number => setup.findIndex((s) => s.call === call);
const message = (stage: (typeof STAGE_NAMES)[number], step: number, errno: number): string =>
  startError(plan, STAGE_NAMES.indexOf(stage), { step, errno }, defaultHints).message;

describe('startError', () => {
  it('says what was being done, which call failed, why, and what to do', () => {
    expect(message('setup', at('execve'), 2)).toMatchInlineSnapshot(`
      "start container "web": run tool: execve: ENOENT (no such file or directory)
        execve("/bin/tool", ["tool"], [2 variables])
        hint: there is no tool inside, or the interpreter or loader that it names is missing; paths and PATH are those of the new root"
    `);
    expect(message('setup', at('fsopen'), 1)).toMatchInlineSnapshot(`
      "start container "web": mount a tmpfs on /tmp: fsopen: EPERM (operation not permitted)
        mount0.fs = fsopen("tmpfs", FSOPEN_CLOEXEC)"
    `);
    expect(message('setup', at('prlimit64'), 1)).toMatchInlineSnapshot(`
      "start container "web": set the limit nofile: prlimit64: EPERM (operation not permitted)
        prlimit64(0, RLIMIT_NOFILE, {1, 2}, NULL)
        hint: raising a hard limit needs CAP_SYS_RESOURCE; ask for no more than the present hard limit"
    `);
  });

  it('has words for the stages that have no steps', () => {
    expect(message('clone', 0, 1)).toMatchInlineSnapshot(`
      "start container "web": make the process and its namespaces: clone3: EPERM (operation not permitted)
        clone3(CLONE_NEWUSER|CLONE_NEWPID)
        hint: this host forbids user namespaces: look at the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns"
    `);
    expect(message('clone', 0, 28)).toMatchInlineSnapshot(`
      "start container "web": make the process and its namespaces: clone3: ENOSPC (no space left)
        clone3(CLONE_NEWUSER|CLONE_NEWPID)
        hint: the limit of namespaces is reached: look at /proc/sys/user/max_*_namespaces"
    `);
    expect(message('maps', 0, 13)).toMatchInlineSnapshot(`
      "start container "web": map the ids of the user namespace: write: EACCES (permission denied)
        write("/proc/<pid>/setgroups", "deny")"
    `);
    expect(message('maps', 2, 1)).toMatchInlineSnapshot(`
      "start container "web": map the ids of the user namespace: write: EPERM (operation not permitted)
        write("/proc/<pid>/uid_map", "0 1000 1\\n")"
    `);
    expect(message('decode', 0, 24)).toMatchInlineSnapshot(
      `"start container "web": hand the plan to the monitor: recvmsg: EMFILE (too many open files in the process)"`,
    );
    expect(message('setup', 0x7fffffff, 4)).toMatchInlineSnapshot(`
      "start container "web": the process was killed before its program ran: execve: EINTR (interrupted)
        hint: the kernel kills what starts with too small a memory limit; otherwise somebody sent it SIGKILL"
    `);
  });

  it('has the facts as fields, in Node’s way', () => {
    const e = startError(plan, STAGE_NAMES.indexOf('setup'), { step: at('execve'), errno: 13 }, () => 'do it well');
    expect(e).toBeInstanceOf(StartError);
    expect([e.code, e.errno, e.syscall, e.path, e.stage, e.stepIndex, e.step?.call, e.hint]).toEqual([
      'CTR_START_FAILED',
      -13,
      'execve',
      'tool',
      'setup',
      at('execve'),
      'execve',
      'do it well',
    ]);
    expect(e.cause).toMatchObject({ code: 'EACCES', errno: -13, syscall: 'execve', path: 'tool' });
  });

  it('shows no value of the environment', () => {
    expect(message('setup', at('execve'), 2)).not.toContain('password');
  });

  it('names an errno that nobody knows', () => {
    expect(message('setup', at('execve'), 4095).split('\n')[0]).toMatchInlineSnapshot(
      `"start container "web": run tool: execve: EOF (failed)"`,
    );
  });
});

describe('cleanupErrors', () => {
  it('name the step, or at least what was being done', () => {
    expect(
      cleanupErrors({ plan: plan }, [
        { step: 0, errno: 39 },
        { step: 1, errno: 1 },
      ]).map((e) => e.message),
    ).toMatchInlineSnapshot(`
      [
        "remove the state: unlinkat "/state": ENOTEMPTY (directory not empty)",
        "clean up: remove_tree "/upper": EPERM (operation not permitted)",
      ]
    `);
  });
});

describe('events', () => {
  it('are read from their bytes', () => {
    const m = Buffer.alloc(56 + 16);
    m.writeUInt32LE(4, 0);
    m.writeUInt32LE(9, 4);
    m.writeInt32LE(1, 8);
    m.writeInt32LE(3, 12);
    m.writeBigInt64LE(1500n, 24);
    m.writeBigInt64LE(2500n, 32);
    m.writeBigInt64LE(640n, 40);
    m.writeInt32LE(2, 56);
    m.writeInt32LE(16, 60);
    m.writeInt32LE(3, 64);
    m.writeInt32LE(5, 68);
    const e = decodeEvent(m);
    expect([e.kind, e.id, e.a, e.b, e.userUs, e.systemUs, e.maxRssKb]).toEqual(['exited', 9, 1, 3, 1500, 2500, 640]);
    expect(decodeFailures(e.payload)).toEqual([
      { step: 2, errno: 16 },
      { step: 3, errno: 5 },
    ]);
  });

  it('tell exits from signals', () => {
    expect([decodeExit(1, 0), decodeExit(1, 255), decodeExit(2, 9), decodeExit(3, 11)]).toEqual([
      { exitCode: 0, signal: null },
      { exitCode: 255, signal: null },
      { exitCode: null, signal: 'SIGKILL' },
      { exitCode: null, signal: 'SIGSEGV' },
    ]);
  });

  it('carry files, padded to eight bytes', () => {
    const file = (step: number, text: string): Buffer => {
      const b = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8);
      b.writeUInt32LE(step, 0);
      b.writeUInt32LE(text.length, 4);
      b.write(text, 8);
      return b;
    };
    expect([...decodeFiles(Buffer.concat([file(0, 'oom_kill 1\n'), file(4, ''), file(5, 'exactly8')]))]).toEqual([
      [0, 'oom_kill 1\n'],
      [4, ''],
      [5, 'exactly8'],
    ]);
    expect([...decodeFiles(Buffer.alloc(3))]).toEqual([]);
  });
});
