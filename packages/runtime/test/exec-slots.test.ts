// execSlots: what waits in a container for the next exec() makes it faster and nothing else different, whatever happens to it inside.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { leakCheck, need, processes, rounds } from '@ctr/internal/testing';
import { monitorPid } from '@ctr/namespaces';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Container, type ExecOptions, type ExecProcess, InvalidArgumentError, type RunOptions, runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

const asRoot = process.getuid?.() === 0;
const n = need('busybox', asRoot ? 'root' : 'overlay-in-userns');
const cgroups = need('busybox', 'cgroup:memory');

const ZOMBIE = /\(Z, child of 1\)/;
const PATIENCE = { timeout: 10_000, interval: 5 };

/** Those of this process, as the host sees them. */
const waiting = (): number[] =>
  processes()
    .filter((p) => p.ppid === monitorPid() && p.comm === 'ctr-parked' && p.state !== 'Z')
    .map((p) => p.pid);

let rootfs = '';
const open = (options: RunOptions = {}): PromiseLike<Container> =>
  runContainer({ rootfs, command: ['sleep', '1000'], execSlots: 2, ...options });

const filled = (count = 2): Promise<void> => expect.poll(() => waiting().length, PATIENCE).toBe(count);

/** Runs a program once, so that processes wait for it. */
async function warm(box: Container, options: ExecOptions = {}): Promise<number[]> {
  expect(await box.exec(['true'], options).result()).toMatchObject({ exitCode: 0 });
  await filled();
  return waiting();
}

/** Until it ran in a process that had waited: the launcher learns of one a little later than it is there. */
async function inSlot(box: Container, command: readonly string[], options: ExecOptions = {}): Promise<ExecProcess> {
  for (let tries = 0; tries < 200; tries++) {
    await filled();
    const pids = waiting();
    const p = await box.exec(command, options);
    if (pids.includes(p.pid)) return p;
    await p[Symbol.asyncDispose]();
    await sleep(10);
  }
  return expect.unreachable('none ran in a process that waited');
}

describe.skipIf(!n.ok)(n.title('execSlots'), () => {
  let leaks: ReturnType<typeof leakCheck>;
  beforeAll(async () => {
    rootfs = busyboxRoot();
    await runContainer({ rootfs, command: ['true'] }).result();
    leaks = leakCheck({ ignore: ZOMBIE });
  });
  afterAll(() => leaks?.assertClean({ withinMs: 15_000 }), 20_000);

  it('is a number of processes, none unless it is asked for', async () => {
    for (const execSlots of [-1, 65, 1.5, '2', true] as never[])
      await expect(runContainer({ rootfs, command: ['true'], execSlots })).rejects.toBeInstanceOf(InvalidArgumentError);
    await using box = await open({ execSlots: undefined });
    for (let i = 0; i < 3; i++) await box.exec(['true']).result();
    await sleep(50);
    expect(waiting()).toEqual([]);
  });

  it('has the next programs run in what waits, which is made again', async () => {
    await using box = await open();
    expect(waiting()).toEqual([]);
    await warm(box);
    for (let i = 0; i < 5; i++) {
      const p = await inSlot(box, ['sh', '-c', 'exit 4']);
      expect(await p.exited).toMatchObject({ exitCode: 4, reason: 'exited', oomKilled: false });
    }
    await filled();
    expect(await box.exec(['ps']).text()).toMatch(/ctr-parked/);
  });

  it('makes no difference to a program', async () => {
    const script =
      'hostname; pwd; id; echo "$A$B"; ulimit -n; umask; grep -E "^(Cap|NoNewPrivs|Seccomp)" /proc/self/status; for n in 0 1 2; do readlink /proc/self/fd/$n; done; ls /proc/self/fd; cat';
    const facts = async (box: Container, options: ExecOptions): Promise<string> => {
      const { exitCode, stdout, stderr } = await box.exec(['sh', '-c', script], { input: 'in\n', ...options }).result();
      return `${exitCode} ${stdout.replace(/pipe:\[\d+\]/g, 'pipe')} ${stderr}`;
    };
    const common: RunOptions = { hostname: 'box', env: { A: '1' }, ulimits: { nofile: 128 } };
    await using usual = await open({ ...common, execSlots: 0 });
    await using box = await open(common);
    const ways: ExecOptions[] = [
      {},
      { env: { B: '2' } },
      { cwd: '/etc' },
      { cwd: '/made/for/it' },
      { stderr: 'ignore' },
      ...(asRoot ? [{ user: 'node' }, { user: '7:8', cwd: '/tmp' }] : []),
    ];
    for (const options of ways) {
      const expected = await facts(usual, options);
      for (let i = 0; i < 3; i++) {
        expect(await facts(box, options), JSON.stringify(options)).toBe(expected);
        await filled();
      }
    }
  });

  it('serves programs that differ in their streams alone', async () => {
    await using box = await open();
    await warm(box);
    for (const options of [{}, { stderr: 'ignore' }, { input: 'x' }, { stdin: 'pipe' }] as const) {
      const p = await inSlot(box, ['cat'], options);
      p.stdin?.end('x');
      expect(await p.exited).toMatchObject({ exitCode: 0 });
    }
  });

  it('has the same errors', async () => {
    await using box = await open({ name: 'web' });
    for (const [command, options] of [
      [['/not/there'], {}],
      [['nothing'], { cwd: '/etc' }],
      [['/etc'], {}],
    ] as const) {
      const told = (): Promise<Error> =>
        box.exec(command, options).then(
          () => expect.unreachable(),
          (error: unknown) => error as Error,
        );
      const usual = await told();
      await filled();
      const slotted = await told();
      expect(slotted.message).toBe(usual.message);
      expect(slotted).toMatchObject({ code: 'CTR_START_FAILED', stage: 'setup' });
      await filled();
    }
  });

  it('keeps signals and limits of time', async () => {
    await using box = await open();
    await warm(box);
    const abort = new AbortController();
    const p = await inSlot(box, ['sleep', '1000'], { signal: abort.signal });
    abort.abort();
    expect(await p.exited).toMatchObject({ reason: 'aborted', signal: 'SIGKILL' });
    await filled();
    expect(await box.exec(['sleep', '1000'], { timeout: 50 }).result()).toMatchObject({ reason: 'timeout' });
    await filled();
    for (const pid of waiting()) process.kill(pid, 'SIGSTOP');
    const late = new AbortController();
    const stopped = [box.exec(['true'], { signal: late.signal }).result(), box.exec(['true'], { signal: late.signal }).result()];
    late.abort();
    for (const r of await Promise.allSettled(stopped)) expect(r).toMatchObject({ status: 'rejected', reason: { name: 'AbortError' } });
  });

  it('follows the kind that is used last', async () => {
    await using box = await open();
    const before = await warm(box);
    for (let i = 0; i < 2; i++) await box.exec(['true'], { cwd: '/etc' }).result();
    await expect.poll(() => waiting().filter((pid) => before.includes(pid)), PATIENCE).toEqual([]);
    const p = await inSlot(box, ['true'], { cwd: '/etc' });
    await p.exited;
  });

  it('goes the usual way with a terminal', async () => {
    await using box = await open();
    await warm(box);
    expect(await box.exec(['sh', '-c', 'test -t 0 && echo yes'], { tty: true }).text()).toContain('yes');
    expect(waiting()).toHaveLength(2);
  });

  it('goes the usual way where the filter would not let a waiting process go on', async () => {
    const seccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['recvmsg'], action: 'SCMP_ACT_ERRNO' }],
    } as NonNullable<RunOptions['seccomp']>;
    await using box = await open({ seccomp });
    for (let i = 0; i < 3; i++) expect(await box.exec(['echo', 'x']).text()).toBe('x\n');
    await sleep(50);
    expect(waiting()).toEqual([]);
  });

  it('runs a hundred at once, each once', async () => {
    await using box = await open();
    await warm(box);
    const all = Array.from({ length: 100 }, (_, i) => box.exec(['sh', '-c', `echo $0; echo ${i} >> /ran`, String(i)]).text());
    expect(await Promise.all(all)).toEqual(Array.from({ length: 100 }, (_, i) => `${i}\n`));
    const ran = (await box.exec(['cat', '/ran']).text()).trim().split('\n').map(Number);
    expect(ran.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it('leaves no descriptor and no process behind many', async () => {
    await using box = await open();
    const fds = (): number => readdirSync('/proc/self/fd').length;
    const theirs = (): number => (asRoot ? readdirSync(`/proc/${monitorPid()}/fd`).length : 0);
    await warm(box);
    const [before, theirsBefore] = [fds(), theirs()];
    const many = rounds(300);
    for (let i = 0; i < many; i++) {
      expect(await box.exec(['echo', 'x']).text()).toBe('x\n');
      // Now and then long enough for others to be made.
      if (i % 2 === 0) await sleep(4);
    }
    await filled();
    expect(fds()).toBeLessThanOrEqual(before);
    expect(theirs()).toBeLessThanOrEqual(theirsBefore);
  }, 120_000);

  it('does without what was killed or stopped inside, and makes others', async () => {
    await using box = await open();
    await warm(box);
    const script = (signal: string): string[] => [
      'sh',
      '-c',
      `for c in /proc/[0-9]*; do test "$(cat $c/comm)" = ctr-parked && kill -${signal} \${c#/proc/}; done; true`,
    ];
    await box.exec(script('KILL'), { timeout: 10_000 }).result();
    expect(await box.exec(['echo', 'x']).text()).toBe('x\n');
    await filled();
    for (let i = 0; i < 3; i++) {
      // Both but the one that it runs in.
      await box.exec(script('STOP')).result();
      for (let k = 0; k < 3; k++) expect(await box.exec(['sh', '-c', 'echo x; echo x >> /count']).text()).toBe('x\n');
      await filled();
    }
    expect(await box.exec(['cat', '/count']).text()).toBe('x\n'.repeat(9));
  }, 60_000);

  it('ends with the container, however that ends', async () => {
    for (const way of ['dispose', 'kill', 'itself', 'monitor'] as const) {
      const box = await open({ command: ['sh', '-c', 'while test ! -e /end; do sleep 0.02; done'] });
      await warm(box);
      if (way === 'kill') box.kill('SIGKILL');
      if (way === 'monitor') process.kill(monitorPid() ?? 0, 'SIGKILL');
      if (way === 'itself') await box.exec(['touch', '/end']).result();
      if (way === 'dispose') await box[Symbol.asyncDispose]();
      await box.exited;
      await box.cleaned;
      await expect
        .poll(() => processes().filter((p) => p.comm === 'ctr-parked' && (p.ppid === monitorPid() || p.ppid === 1)), PATIENCE)
        .toEqual([]);
      await expect(box.exec(['true'])).rejects.toThrow();
      for (const directory of Object.values(box.inspect().cgroups)) expect(() => readdirSync(directory)).toThrow(/ENOENT/);
    }
    // A new session after the death of the monitor.
    await runContainer({ rootfs, command: ['true'] }).result();
    leaks = leakCheck({ ignore: ZOMBIE });
  });

  it.skipIf(!asRoot)('gives its places back where a limit of processes has no other', async () => {
    // Of the user, in a user namespace of its own: the first process and one more.
    await using box = await open({ user: 'node', ulimits: { nproc: 2 } });
    await box.exec(['true']).result();
    for (let i = 0; i < 3; i++) {
      expect(await box.exec(['echo', 'x'], { cwd: '/etc' }).text()).toBe('x\n');
      await expect.poll(() => waiting().length, PATIENCE).toBeGreaterThan(0);
    }
  });

  it.skipIf(!cgroups.ok)(cgroups.title('does without what was killed because memory had run out'), async () => {
    await using box = await open({ resources: { memory: '32m', oomGroup: false } });
    const pids = await warm(box);
    // The first that the kernel kills.
    for (const pid of pids) writeFileSync(`/proc/${pid}/oom_score_adj`, '1000');
    const hog = { cwd: '/etc' };
    const result = await box.exec(['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=128M', 'count=1'], hog).result();
    expect(result).toMatchObject({ reason: 'oom', oomKilled: true });
    for (let i = 0; i < 3; i++)
      expect(await box.exec(['echo', 'x']).result()).toMatchObject({ stdout: 'x\n', reason: 'exited', oomKilled: false });
  });

  it.skipIf(!cgroups.ok)(cgroups.title('takes back what a frozen process was told, and runs it once'), async () => {
    await using box = await open();
    await warm(box);
    const files = Object.values(box.inspect().cgroups).flatMap((d) => [path.join(d, 'freezer.state'), path.join(d, 'cgroup.freeze')]);
    const file = files.find((f) => existsSync(f)) ?? '';
    const freeze = (on: boolean): void => writeFileSync(file, file.endsWith('freezer.state') ? (on ? 'FROZEN' : 'THAWED') : on ? '1' : '0');
    freeze(true);
    const run = box.exec(['sh', '-c', 'echo x >> /count; cat /count']).text();
    // Longer than a program may lie there.
    await sleep(250);
    freeze(false);
    expect(await run).toBe('x\n');
    await filled();
    expect(await box.exec(['cat', '/count']).text()).toBe('x\n');
  });
});
