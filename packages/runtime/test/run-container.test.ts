// Containers from a folder: what is seen from inside, how they end, and that nothing is left.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { leakCheck, makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  AbortError,
  type Container,
  ContainerExitError,
  type ContainerRun,
  MaxBufferError,
  type RunOptions,
  runContainer,
  StartError,
} from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

const n = need('busybox', process.getuid?.() === 0 ? 'root' : 'overlay-in-userns');

/** A zombie whose parent is PID 1 is of another test's Node, and for PID 1 to reap. */
const ZOMBIE = /\(Z, child of 1\)/;

describe.skipIf(!n.ok)(n.title('runContainer'), () => {
  let rootfs = '';
  let leaks: ReturnType<typeof leakCheck>;
  const run = (script: string, options: RunOptions = {}): ContainerRun =>
    runContainer({ rootfs, command: ['sh', '-c', script], ...options });

  beforeAll(async () => {
    rootfs = busyboxRoot();
    // The first of each kind makes what stays for the life of this process: the monitor, the session, the store.
    await run('true').result();
    await run('true', { writable: 'disk' }).result();
    leaks = leakCheck({ ignore: ZOMBIE });
  });
  afterAll(() => leaks?.assertClean());

  describe('from inside', () => {
    it('has its own processes, host name and root', async () => {
      const text = await run('echo $$; hostname; ls /; cat /proc/1/comm; true', { hostname: 'box' }).text();
      expect(text.split('\n')).toEqual(['1', 'box', 'bin', 'dev', 'etc', 'proc', 'sys', 'tmp', 'sh', '']);
    });

    it('sees no network but loopback', async () => expect(await run('ls /sys/class/net').text()).toBe('lo\n'));

    it('has an environment of its own making', async () =>
      expect((await run('env', { env: { A: '1' }, hostname: 'box' }).text()).split('\n').sort()).toEqual(
        [
          '',
          'A=1',
          'HOME=/root',
          'HOSTNAME=box',
          'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
          'PWD=/',
          'SHLVL=1',
        ].sort(),
      ));

    it('what one start was given is no other’s, whatever they have in common', async () => {
      // Another user without root wants ranges of ids.
      const asRoot = process.getuid?.() === 0;
      const script = 'echo "$0 $WHO $(hostname) $(cat /marker 2>&1)"; echo mine > /marker; id -u';
      const one = (who: string, options: RunOptions = {}) =>
        runContainer({ rootfs, command: ['sh', '-c', script, who], env: { WHO: who }, ...options });
      const starts = [
        one('a'),
        one('b', { hostname: 'box' }),
        one('c', asRoot ? { user: '1000:1000' } : {}),
        one('a'),
        one('d', { labels: { x: 'y' } }),
      ];
      const boxes = await Promise.all(starts.map((start) => start.then((box) => box)));
      const texts = await Promise.all(starts.map((start) => start.result()));
      for (const [i, who] of ['a', 'b', 'c', 'a', 'd'].entries()) {
        const box = boxes[i] as Container;
        const name = i === 1 ? 'box' : box.id.slice(0, 12);
        expect(texts[i]?.stdout).toMatch(new RegExp(`^${who} ${who} ${name} cat: .*No such file`));
        expect(texts[i]?.stdout.trim().split('\n').at(-1)).toBe(i === 2 && asRoot ? '1000' : '0');
        expect(box.spec).toMatchObject({ hostname: name, process: { args: ['sh', '-c', script, who] } });
        expect(box.spec.process.env).toEqual(expect.arrayContaining([`WHO=${who}`, `HOSTNAME=${name}`]));
        for (const directory of Object.values(box.inspect().cgroups)) expect(directory).toContain(box.id);
      }
      expect(boxes[4]?.spec.annotations).toEqual({ x: 'y' });
    });

    it('works in the folder that was asked for, made when missing', async () =>
      expect(await run('pwd', { cwd: '/a/b' }).text()).toBe('/a/b\n'));

    it('has no rights to speak of', async () => {
      const status = await run('grep -E "^(CapEff|CapInh|CapAmb|NoNewPrivs|Seccomp):" /proc/self/status').text();
      expect(status).toMatch(/^CapInh:\t0+\nCapEff:\t00000000800405fb\nCapAmb:\t0+\nNoNewPrivs:\t1\nSeccomp:\t2\n$/);
    });

    it('cannot look behind the masks or write where the host is controlled', async () => {
      const text = await run('cat /proc/keys /proc/timer_list; ls /sys/firmware; echo x > /proc/sys/kernel/hostname').result();
      expect(text.stdout).toBe('');
      expect(text.stderr).toMatch(/can't create \/proc\/sys\/kernel\/hostname: Read-only file system/);
    });

    it('writes into its own layer only', async () => {
      const before = readFileSync(path.join(rootfs, 'etc/passwd'), 'utf8');
      expect(await run('echo new > /etc/passwd; cat /etc/passwd; rm -r /tmp; ls /').text()).not.toMatch(/tmp/);
      expect(readFileSync(path.join(rootfs, 'etc/passwd'), 'utf8')).toBe(before);
    });

    it('writes to disk when asked, and nothing of it stays', async () =>
      expect(await run('echo x > /f; cat /f', { writable: 'disk' }).text()).toBe('x\n'));

    it('cannot write to a read-only root', async () => {
      const result = await run('touch /x; touch /scratch/y && echo there', { readOnly: true, tmpfs: { '/scratch': '1m' } }).result();
      expect([result.stdout, result.stderr]).toEqual(['there\n', 'touch: /x: Read-only file system\n']);
    });

    it('sees folders of the host', async () => {
      const data = makeTempDir('data');
      writeFileSync(path.join(data, 'in'), 'from outside\n');
      mkdirSync(path.join(data, 'sub'));
      const result = await run('cat /data/in; echo out > /data/out; touch /ro/x', {
        mounts: [
          { type: 'bind', source: data, target: '/data' },
          { type: 'bind', source: path.join(data, 'sub'), target: '/ro', readOnly: true },
        ],
      }).result();
      expect([result.stdout, readFileSync(path.join(data, 'out'), 'utf8'), result.stderr]).toEqual([
        'from outside\n',
        'out\n',
        'touch: /ro/x: Read-only file system\n',
      ]);
    });

    it('can share the host’s network', async () => expect(await run('cat /proc/net/dev', { network: 'host' }).text()).toContain('lo:'));

    it('gets limits of its own', async () => expect(await run('ulimit -n; ulimit -c', { ulimits: { nofile: 77 } }).text()).toBe('77\n0\n'));
  });

  describe('streams', () => {
    it('are apart', async () => {
      const { stdout, stderr } = await run('echo out; echo err >&2').result();
      expect([stdout, stderr]).toEqual(['out\n', 'err\n']);
    });

    it('take input as text, bytes, stream and pipe', async () => {
      expect(await run('cat', { input: 'text' }).text()).toBe('text');
      expect(await run('cat', { input: new Uint8Array([0xff, 0]) }).bytes()).toEqual(Buffer.from([0xff, 0]));
      expect(await run('cat', { stdin: Readable.from(['a', 'b']) }).text()).toBe('ab');
      const live = run('cat', { stdin: 'pipe' });
      (await live).stdin?.end('piped');
      expect(await live.text()).toBe('piped');
    });

    it('go into streams of the caller', async () => {
      const chunks: Buffer[] = [];
      const into = new Writable({
        write(chunk: Buffer, _, done) {
          chunks.push(chunk);
          done();
        },
      });
      await using c = await run('echo one; echo two >&2', { stdout: into, stderr: into });
      await c.exited;
      expect([c.stdout, c.stderr]).toEqual([null, null]);
      await expect.poll(() => Buffer.concat(chunks).toString().split('\n').sort()).toEqual(['', 'one', 'two']);
    });

    it('come line by line, and a loop that is left kills', async () => {
      const seen: string[] = [];
      for await (const line of run('yes').lines()) if (seen.push(line) === 3) break;
      expect(seen).toEqual(['y', 'y', 'y']);
    });

    it('can be read after the end', async () => {
      const live = run('echo late; echo too >&2');
      const c = await live;
      await c.exited;
      expect(await live.result()).toMatchObject({ stdout: 'late\n', stderr: 'too\n' });
    });

    it('are parsed', async () => expect(await run('echo \'{"a":1}\'').json()).toEqual({ a: 1 }));

    it('are large', async () => expect((await run('dd if=/dev/zero bs=1M count=8 2>/dev/null').bytes()).length).toBe(8 * 2 ** 20));

    it('are complete where this process was held up while they came', async () => {
      const dir = makeTempDir('late');
      chmodSync(dir, 0o777);
      await using c = await run('sleep 1000', { mounts: [{ type: 'bind', source: dir, target: '/out' }] });
      // The first one ends before the other writes, so the end of the pipe is not the end of the process.
      const p = c.exec(['sh', '-c', '(sleep 0.2; echo late; touch /out/mark; sleep 1000) & echo now']);
      const output = p.result();
      await (await p).exited;
      // From now on for longer than anybody waits after the end: when it is over, time is up and the words are there.
      const long = performance.now() + 1500;
      while (performance.now() < long || !existsSync(path.join(dir, 'mark')))
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
      expect((await output).stdout).toBe('now\nlate\n');
    });

    it('are too large', async () => {
      const error = await run('yes', { maxBuffer: '1k' })
        .result()
        .catch((e: unknown) => e);
      expect(error).toBeInstanceOf(MaxBufferError);
      expect((error as MaxBufferError).output.length).toBe(1024);
    });
  });

  describe('the end', () => {
    it('is told as it was', async () => {
      expect(await run('exit 3').result()).toMatchObject({ ok: false, exitCode: 3, signal: null, reason: 'exited', oomKilled: false });
      expect(await run('sh -c "kill -9 \\$\\$"; exit $?').result()).toMatchObject({ exitCode: 137, reason: 'exited' });
      const c = await run('sleep 100');
      c.kill('SIGKILL');
      expect(await c.exited).toMatchObject({ exitCode: null, signal: 'SIGKILL', reason: 'signaled' });
      expect(c.kill()).toBe(false);
      expect(c.status).toBe('stopped');
    });

    it('is an error for those who want one', async () => {
      await expect(run('echo bad luck >&2; exit 3').text()).rejects.toThrowErrorMatchingInlineSnapshot(`
        [ContainerExitError: run "sh": exit code 3
          bad luck]
      `);
      await expect(async () => (await run('exit 4').result()).orThrow()).rejects.toBeInstanceOf(ContainerExitError);
    });

    it('comes by timeout', async () =>
      expect(await run('sleep 100', { timeout: 200 }).result()).toMatchObject({ reason: 'timeout', signal: 'SIGKILL' }));

    it('comes by a signal that is asked for first', async () => {
      const script = 'trap "exit 7" TERM; echo ready; while true; do sleep 0.1; done';
      const c = await run(script, { stdout: 'pipe' });
      await new Promise((resolve) => c.stdout?.once('data', resolve));
      expect(await c.stop()).toMatchObject({ reason: 'stopped', exitCode: 7 });
    });

    it('comes by force when it is not obeyed', async () => {
      const c = await run('sleep 100');
      expect(await c.stop({ timeout: 100 })).toMatchObject({ reason: 'stopped', signal: 'SIGKILL' });
    });

    it('comes by AbortSignal, confirmed by the kernel', async () => {
      const abort = new AbortController();
      const c = await run('sleep 100', { signal: abort.signal });
      abort.abort(new Error('enough'));
      expect(await c.exited).toMatchObject({ reason: 'aborted' });
      await expect(run('sleep 1', { signal: abort.signal })).rejects.toThrow(AbortError);
      const late = new AbortController();
      const text = run('sleep 100', { signal: late.signal }).text();
      setTimeout(() => late.abort(new Error('enough')), 100);
      await expect(text).rejects.toMatchObject({ name: 'AbortError', cause: new Error('enough') });
    });

    it('waits only as long as it is told', async () => {
      await using c = await run('sleep 100');
      await expect(c.wait({ signal: AbortSignal.timeout(50) })).rejects.toThrow(AbortError);
      expect(c.status).toBe('running');
    });

    it('comes with the scope', async () => {
      let c: Container;
      {
        await using inner = await run('sleep 100');
        c = inner;
      }
      expect(await c.exited).toMatchObject({ reason: 'stopped' });
    });
  });

  describe('what cannot be started', () => {
    const failure = (options: RunOptions): Promise<StartError> =>
      runContainer({ rootfs, command: ['true'], ...options }).then(
        () => expect.fail('it started'),
        (e: unknown) => e as StartError,
      );

    it('has a message that says what to do', async () => {
      const line = (e: Error): string =>
        e.message
          .replaceAll(rootfs, '<rootfs>')
          .replace(/start container "\w+"/, 'start container "<id>"')
          .replace(/HOSTNAME=\w+/, 'HOSTNAME=<id>');
      writeFileSync(path.join(rootfs, 'bin/script'), '#!/usr/bin/python3\n', { mode: 0o755 });
      writeFileSync(path.join(rootfs, 'bin/data'), 'x', { mode: 0o644 });
      writeFileSync(path.join(rootfs, 'bin/foreign'), Buffer.from('\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0', 'latin1'), {
        mode: 0o755,
      });
      expect(line(await failure({ command: ['nothing'] }))).toMatchInlineSnapshot(`
        "start container "<id>": run nothing: execve: ENOENT (no such file or directory)
          execve("/bin/nothing", ["nothing"], [3 variables])
          hint: there is no nothing in <rootfs>, in any folder of its PATH"
      `);
      expect(line(await failure({ command: ['ls -l'] }))).toMatchInlineSnapshot(`
        "start container "<id>": run ls -l: execve: ENOENT (no such file or directory)
          execve("/bin/ls -l", ["ls -l"], [3 variables])
          hint: there is no program "ls -l"; the command is an array, with each argument apart"
      `);
      expect(line(await failure({ command: ['/bin/script'] }))).toMatchInlineSnapshot(`
        "start container "<id>": run /bin/script: execve: ENOENT (no such file or directory)
          execve("/bin/script", ["/bin/script"], [3 variables])
          hint: /bin/script is there, but what it is run by is not: /usr/bin/python3"
      `);
      expect(line(await failure({ command: ['/bin/data'] }))).toMatchInlineSnapshot(`
        "start container "<id>": run /bin/data: execve: EACCES (permission denied)
          execve("/bin/data", ["/bin/data"], [3 variables])
          hint: /bin/data of <rootfs> is not executable for this user, or lies on a mount with noexec"
      `);
      expect(line(await failure({ command: ['/bin/foreign'] }))).toMatchInlineSnapshot(`
        "start container "<id>": run /bin/foreign: execve: ENOEXEC (exec format error)
          execve("/bin/foreign", ["/bin/foreign"], [3 variables])
          hint: /bin/foreign of <rootfs> is for another processor, or a script without a first line such as #!/bin/sh"
      `);
      expect(line(await failure({ mounts: [{ type: 'bind', source: '/no/such', target: '/x' }] }))).toMatchInlineSnapshot(`
        "start container "<id>": mount /no/such on /x: open_tree: ENOENT (no such file or directory)
          mount7 = open_tree(AT_FDCWD, "/no/such", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_RECURSIVE)
          hint: /no/such does not exist on the host"
      `);
    });

    it('is a StartError with the place of the failure', async () => {
      const error = await failure({ command: ['nothing'] });
      expect(error).toBeInstanceOf(StartError);
      expect({ code: error.code, errno: error.errno, syscall: error.syscall, stage: error.stage, path: error.path }).toEqual({
        code: 'CTR_START_FAILED',
        errno: -2,
        syscall: 'execve',
        stage: 'setup',
        path: 'nothing',
      });
    });

    it('rejects for a folder that is not there', async () =>
      expect((await failure({ rootfs: '/no/such/root' })).message).toMatch(
        /^read "\/etc\/\w+" of the root: open "\/no\/such\/root": ENOENT/,
      ));
  });

  describe('exec', () => {
    it('runs beside, with the container’s rights', async () => {
      await using c = await run('sleep 100', { hostname: 'box', env: { A: '1' } });
      const r = await c
        .exec(['sh', '-c', 'hostname; echo $A$B; grep CapEff /proc/self/status; ps | grep -c "[s]leep 100"; exit 3'], { env: { B: '2' } })
        .result();
      expect([r.exitCode, r.stdout]).toEqual([3, 'box\n12\nCapEff:\t00000000800405fb\n1\n']);
    });

    it('has its own folder, input, timeout and end', async () => {
      await using c = await run('sleep 100');
      expect(await c.exec(['sh', '-c', 'pwd; cat'], { cwd: '/etc', input: 'x' }).text()).toBe('/etc\nx');
      expect(await c.exec(['sleep', '100'], { timeout: 100 }).result()).toMatchObject({ reason: 'timeout' });
      expect(c.status).toBe('running');
    });

    it('ends with the container', async () => {
      const c = await run('sleep 100');
      const inner = await c.exec(['sleep', '100']);
      await c[Symbol.asyncDispose]();
      expect(await inner.exited).toMatchObject({ signal: 'SIGKILL' });
      await expect(c.exec(['true'])).rejects.toThrow(/run "true" in container/);
    });

    it('checks its options', async () => {
      await using c = await run('sleep 100');
      await expect(c.exec(['true'], { usr: 'x' } as never).result()).rejects.toThrow(
        'expected "usr" to be a known option (did you mean "user"?)',
      );
      await expect(c.exec(['nothing'])).rejects.toThrow(/execve: ENOENT/);
    });
  });

  it('tells what it is', async () => {
    await using c = await run('sleep 100', { name: 'web', labels: { team: 'red' } });
    expect(c.inspect()).toMatchObject({
      name: 'web',
      status: 'running',
      pid: c.pid,
      labels: { team: 'red' },
      root: rootfs,
      exit: undefined,
    });
    expect(c.spec.process.args).toEqual(['sh', '-c', 'sleep 100']);
  });

  it('lets the OCI object be edited', async () => {
    const text = await run('echo $X', {
      spec: (oci) => {
        oci.process.env.push('X=hooked');
        return oci;
      },
    }).text();
    expect(text).toBe('hooked\n');
  });
});
