// A template starts many programs that differ in name, program and streams.
import { mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Fd } from '@ctr/internal/fd';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { compileSeccomp, enterTemplate, SeccompListener, type SpawnOptions, spawn, spawnTemplate, syscallTable } from '../src/index.js';
import { ENV, finished, leaks, messageOf, shell, WAYS } from './run.js';

const userns = need('userns');
const root = need('root');
const PLACEHOLDER = 'b51dd7f2a90c4e0e8f77';
const NAMES = ['first-name-0000000001', 'second-name-000000002'].map((n) => n.slice(0, PLACEHOLDER.length));

describe.skipIf(!userns)('spawnTemplate', () => {
  describe.each(WAYS)('$way', ({ user }) => {
    const options = (dir: string): SpawnOptions => ({
      args: ['true'],
      namespaces: { user, pid: 'new', mount: 'new', uts: 'new' },
      hostname: PLACEHOLDER.slice(0, 12),
      stdio: ['ignore', 'pipe', 'ignore'],
      prepare: [{ call: 'mkdirat', args: [-100, path.join(dir, PLACEHOLDER), 0o700] }],
      cleanup: [{ call: 'unlinkat', args: [-100, path.join(dir, PLACEHOLDER), 0x200] }],
    });

    it('each start has its own name, program, environment and clean-up', async () => {
      const dir = makeTempDir('template');
      const template = spawnTemplate(options(dir), PLACEHOLDER);
      await shell('true');
      const check = leaks();
      for (const [i, name] of [...NAMES, ...NAMES].entries()) {
        const args = ['sh', '-c', `hostname; echo $WHO; ls ${dir}; exit ${i}`];
        const r = await finished(await template.spawn({ name, args, env: { ...ENV, WHO: `${PLACEHOLDER}!` } }));
        expect([r.stdout, r.exitCode]).toEqual([`${name.slice(0, 12)}\n${name}!\n${name}\n`, i]);
        expect(readdirSync(dir)).toEqual([]);
      }
      await check.assertClean();
    });

    it('at the same time, and with frozen arguments that are encoded once', async () => {
      const dir = makeTempDir('template');
      const template = spawnTemplate(options(dir), PLACEHOLDER);
      const args = Object.freeze(['hostname']);
      const env = Object.freeze({ ...ENV });
      const ran = await Promise.all(NAMES.map(async (name) => finished(await template.spawn({ name, args, env }))));
      expect(ran.map((r) => r.stdout)).toEqual(NAMES.map((n) => `${n.slice(0, 12)}\n`));
    });

    it('a failure names what this start was', async () => {
      const dir = makeTempDir('template');
      const template = spawnTemplate(options(dir), PLACEHOLDER);
      const [name] = NAMES as [string];
      mkdirSync(path.join(dir, name));
      const message = await messageOf(template.spawn({ name, args: ['true'], env: ENV, doing: 'start it' }));
      expect(message).toContain('start it: mkdirat: EEXIST (file exists)');
      expect(message).toContain(path.join(dir, name));
      expect(await messageOf(template.spawn({ name: NAMES[1] as string, args: ['/no/such'], env: ENV }))).toContain('execve: ENOENT');
      expect(readdirSync(dir)).toEqual([]);
    });

    it('takes a descriptor of each start where the template has one', async () => {
      const dir = makeTempDir('template');
      const file = (n: string) => Fd.of(openSync(path.join(dir, n), 'w'));
      const example = file('example');
      const template = spawnTemplate({ ...options(makeTempDir('template')), stdio: ['ignore', example, 'ignore'] }, PLACEHOLDER);
      for (const name of NAMES) {
        const out = file(name);
        await finished(await template.spawn({ name, args: ['hostname'], env: ENV, stdio: ['ignore', out, 'ignore'] }));
        out.close();
        expect(readFileSync(path.join(dir, name), 'utf8')).toBe(`${name.slice(0, 12)}\n`);
      }
      example.close();
    });

    it('takes further descriptors of each start, under the numbers of the template', async () => {
      const dir = makeTempDir('template');
      for (const init of [false, true]) {
        using example = Fd.of(openSync('/dev/null', 'r'));
        const template = spawnTemplate({ ...options(dir), init, fds: { 5: example, 9: example } }, PLACEHOLDER);
        await shell('true');
        const check = leaks();
        for (const name of NAMES) {
          writeFileSync(path.join(dir, 'text'), `of ${name}`);
          using mine = Fd.of(openSync(path.join(dir, 'text'), 'r'));
          rmSync(path.join(dir, 'text'));
          const start = { name, args: ['sh', '-c', 'cat <&9; cat <&5'], env: ENV };
          expect((await finished(await template.spawn({ ...start, fds: { 5: example, 9: mine } }))).stdout).toBe(`of ${name}`);
        }
        await check.assertClean();
        const name = NAMES[0] as string;
        const wrong = template.spawn({ name, args: ['true'], env: ENV, fds: { 5: example } });
        expect(await messageOf(wrong)).toContain('expected "fds" to be descriptors under the numbers 5,9, as the template has');
        const closed = Fd.of(openSync('/dev/null', 'r'));
        closed.close();
        expect(await messageOf(template.spawn({ name, args: ['true'], env: ENV, fds: { 5: closed, 9: closed } }))).toContain('fds[5]');
      }
    });

    it('makes a terminal for each start', async () => {
      const { stdio: _, ...rest } = options(makeTempDir('template'));
      const mounts: SpawnOptions['mounts'] = [{ type: 'proc', target: '/proc' }];
      const template = spawnTemplate({ ...rest, mounts, tty: { columns: 99, rows: 11 } }, PLACEHOLDER);
      await shell('true');
      const check = leaks();
      for (const name of NAMES) {
        const r = await finished(await template.spawn({ name, args: ['sh', '-c', 'hostname; stty size'], env: ENV }));
        expect([r.exitCode, r.stdout]).toEqual([0, `${name.slice(0, 12)}\r\n11 99\r\n`]);
      }
      await check.assertClean();
      const name = NAMES[0] as string;
      const both = template.spawn({ name, args: ['true'], stdio: ['ignore', 'ignore', 'ignore'] });
      expect(await messageOf(both)).toContain('expected "stdio" to be left out: the terminal takes its place');
    });

    it('hands a listener over for each start', async () => {
      const program = compileSeccomp({
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['mkdir', 'mkdirat'].filter((n) => syscallTable().has(n)), action: 'SCMP_ACT_NOTIFY' }],
      });
      const refuse = (code: string) => async (fd: Fd) => {
        for await (const call of new SeccompListener(fd)) call.fail(code);
      };
      const base = { ...options(makeTempDir('template')), noNewPrivileges: true, stdio: ['ignore', 'ignore', 'pipe'] as const };
      const template = spawnTemplate({ ...base, seccomp: { program, onListener: refuse('EROFS') } }, PLACEHOLDER);
      await shell('true');
      const check = leaks();
      const [first, second] = NAMES as [string, string];
      const args = ['mkdir', '/tmp/never'];
      const env = { ...ENV, LC_ALL: 'C' };
      expect((await finished(await template.spawn({ name: first, args, env }))).stderr).toContain('Read-only file system');
      const own = await finished(await template.spawn({ name: second, args, env, onListener: refuse('ENOSPC') }));
      expect(own.stderr).toContain('No space left on device');
      await check.assertClean({ withinMs: 10_000 });
    });
  });

  it.each(WAYS)('a template of further programs has terminals and descriptors too, $way', async ({ user }) => {
    await using box = await spawn({
      args: ['sleep', '600'],
      env: ENV,
      namespaces: { user, pid: 'new' },
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    using given = Fd.of(openSync('/etc/hostname', 'r'));
    const template = enterTemplate(box, { args: ['true'], tty: true, fds: { 4: given } });
    for (const [i, file] of ['/etc/hostname', '/etc/passwd'].entries()) {
      using mine = Fd.of(openSync(file, 'r'));
      const p = await template.enter({
        args: ['sh', '-c', `tty >/dev/null && readlink /proc/self/fd/4; exit ${i}`],
        env: ENV,
        fds: { 4: mine },
      });
      const r = await finished(p);
      expect([r.exitCode, r.stdout]).toEqual([i, `${file}\r\n`]);
    }
  });

  it('passes the socket of sd_notify on to each start', async () => {
    const before = process.env['NOTIFY_SOCKET'];
    process.env['NOTIFY_SOCKET'] = '/run/some.sock';
    try {
      const template = spawnTemplate({ args: ['true'], notifySocket: true }, PLACEHOLDER);
      for (const name of NAMES) {
        const r = await finished(
          await template.spawn({ name, args: ['sh', '-c', 'echo $NOTIFY_SOCKET $WHO'], env: { ...ENV, WHO: 'me' } }),
        );
        expect(r.stdout).toBe('/run/some.sock me\n');
      }
    } finally {
      if (before === undefined) delete process.env['NOTIFY_SOCKET'];
      else process.env['NOTIFY_SOCKET'] = before;
    }
  });

  it.skipIf(!root.ok)(root.title('mounts by descriptor, as long as it is open'), async () => {
    const dir = makeTempDir('bound');
    writeFileSync(path.join(dir, 'file'), 'by descriptor\n');
    const source = Fd.of(openSync(dir, 'r'));
    const mounts = [{ type: 'bind', source, target: dir, readOnly: true }] as const;
    const template = spawnTemplate({ args: ['true'], namespaces: { pid: 'new', mount: 'new' }, mounts }, PLACEHOLDER);
    const start = (name: string) => template.spawn({ name, args: ['cat', path.join(dir, 'file')], env: ENV });
    for (const name of NAMES) expect((await finished(await start(name))).stdout).toBe('by descriptor\n');
    source.close();
    expect(await messageOf(start(NAMES[0] as string))).toContain('descriptors that stay open as long as the template is used');
  });

  it('refuses what a template cannot be, before anything is touched', async () => {
    const base: SpawnOptions = { args: ['true'], namespaces: { pid: 'new', user: 'new' } };
    expect(() => spawnTemplate(base, 'short')).toThrow('expected "placeholder" to be at least 12 ASCII characters');
    const fd = Fd.of(openSync('/proc/self/ns/uts', 'r'));
    expect(() => spawnTemplate({ ...base, namespaces: { uts: fd } }, PLACEHOLDER)).toThrow('to be without namespaces to join');
    fd.close();
    expect(() => spawnTemplate({ ...base, disableUserNamespaces: true }, PLACEHOLDER)).toThrow('to be without disableUserNamespaces');
    const template = spawnTemplate(base, PLACEHOLDER);
    const name = NAMES[0] as string;
    expect(await messageOf(template.spawn({ name: 'x', args: ['true'] }))).toContain('expected "name" to be 20 ASCII characters');
    expect(await messageOf(template.spawn({ name, args: ['true'], stdio: ['pipe', 'pipe', 'pipe'] }))).toContain(
      'expected "stdio" to be streams for stdout,stderr',
    );
    expect(await messageOf(template.spawn({ name, args: [] }))).toContain('expected "args" to be a non-empty array');
    expect(await messageOf(template.spawn({ name, args: ['a\0b'] }))).toContain('args[0]');
  });
});
