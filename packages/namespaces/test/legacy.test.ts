// A host that hides newer calls: all of it is done again in a Node under a filter that answers ENOSYS for them.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { compileSeccomp } from '../src/index.js';
import { bundle } from './node-child.js';
import { asRoot, run } from './run.js';
import { makeShellRoot } from './shell-root.js';

const needs = need('userns', 'busybox');

const HIDDEN: Record<string, string[]> = {
  mount_setattr: ['mount_setattr'],
  fsopen: ['fsopen', 'fsconfig', 'fsmount', 'fspick'],
  openat2: ['openat2'],
  'all of them': ['mount_setattr', 'fsopen', 'fsconfig', 'fsmount', 'fspick', 'open_tree', 'move_mount', 'openat2'],
};

/** Starts containers of several kinds and says what is seen inside; told twice, since the second start knows already. */
const SCRIPT = `
  import { spawn, spawnTemplate, enter, enterTemplate } from 'ns'
  import { text } from 'node:stream/consumers'
  import { readFileSync } from 'node:fs'
  const [rootDir, user, folder] = process.argv.slice(2)
  const namespaces = { user, mount: 'new', pid: 'new', uts: 'new', ipc: 'new', network: 'new' }
  const clone = [{ call: 'open_tree', args: [-100, rootDir, 0x80001], into: 'root' }]
  const lines = 'while read a b c d point o tags rest; do case $point in /|/late|/late/inner|/dev/shm|/tmp|/data|/etc/file|/proc/sys|/dev) echo $point $o;; esac; done </proc/self/mountinfo; sed -n "s/.* [/]\\\\(dev\\\\|late\\\\) .* \\\\(.*\\\\)/\\\\2/p" /proc/self/mountinfo'
  const options = {
    args: ['/bin/sh', '-c', lines + '; cat /data/file /etc/file; cat /proc/meminfo /etc/secret | wc -c; ls /etc/hidden | wc -l; ls /dev/null /dev/pts/ptmx; echo x >/dev/null; echo x 2>&1 >/proc/sys/kernel/hostname; touch /x /data/x /tmp/x 2>&1; pwd; cat /proc/sys/net/ipv4/ip_forward; hostname; ls /proc/$$/fd; ls /proc/fs; true'],
    env: { PATH: '/bin' }, namespaces, root: { steps: clone, slot: 'root' }, hostname: 'box', readOnlyRoot: true, cwd: '/tmp/made/here', createCwd: true,
    mounts: [
      { type: 'proc', target: '/proc' }, { type: 'dev', target: '/dev', options: ['ro', 'size=128k'] }, { type: 'devpts', target: '/dev/pts' },
      { type: 'tmpfs', target: '/dev/shm' }, { type: 'tmpfs', target: '/late', readOnly: true, options: ['shared', 'sync'] }, { type: 'tmpfs', target: '/late/inner' },
      { type: 'tmpfs', target: '/tmp', size: 65536, noexec: true },
      { type: 'bind', source: folder, target: '/data', readOnly: true, nosuid: true, recursive: user === 'host' ? false : true },
      { type: 'bind', source: folder + '/file', target: '/etc/file', readOnly: true },
      { type: 'tmpfs', target: '/dangling/a' },
    ],
    maskedPaths: ['/proc/meminfo', '/etc/hidden', '/etc/secret', '/etc/not-there'], readonlyPaths: ['/proc/sys', '/proc/not-there'],
    sysctls: { 'net.ipv4.ip_forward': '1' },
  }
  const finish = async (p) => ({ out: await text(p.tty ?? p.stdout), exit: (await p.exited).exitCode })
  const first = await finish(await spawn(options))
  const again = await finish(await spawn(options))
  const template = await finish(await spawnTemplate(options, 'x'.repeat(12)).spawn({ name: 'y'.repeat(12), args: options.args, env: options.env }))
  const tty = await finish(await spawn({ ...options, args: ['/bin/sh', '-c', '[ -t 0 ] && echo tty'], tty: true }))
  const hostTree = await finish(await spawn({ args: ['sh', '-c', 'ls /tmp; cat /mnt-is-not-here 2>/dev/null; pwd'], env: process.env, namespaces: { user, mount: 'new' }, mounts: [{ type: 'tmpfs', target: '/tmp' }], cwd: '/usr' }))
  const box = await spawn({ ...options, args: ['/bin/sleep', '1000'] })
  const entered = await finish(await enter(box, { args: ['/bin/sh', '-c', 'pwd; hostname'], cwd: '/data', env: options.env }))
  const magic = await enter(box, { args: ['/bin/true'], cwd: '/proc/self/fd/7' }).then(() => 'entered', (e) => e.message)
  await box[Symbol.asyncDispose]()
  const idmap = await spawn({ ...options, mounts: [...options.mounts, { type: 'bind', source: folder, target: '/data', propagation: 'slave' }] }).then((p) => finish(p).then(() => 'ran'), (e) => e.message)
  console.log(JSON.stringify({ first, again, template, tty, hostTree, entered, magic, idmap, left: readFileSync('/proc/self/mountinfo', 'utf8').split('\\n').filter((l) => [folder, rootDir, ' ctr '].some((w) => l.includes(w))) }))
`;

interface Said {
  first: { out: string; exit: number };
  [key: string]: unknown;
}

describe.skipIf(!needs.ok)(needs.title('a host that hides newer calls'), () => {
  const user = asRoot ? 'host' : 'new';
  let plain: Said;
  let rootDir: string;
  let folder: string;
  let script: string;

  async function under(calls: string[]): Promise<Said> {
    const seccomp = compileSeccomp({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: calls.length > 0 ? [{ names: calls, action: 'SCMP_ACT_ERRNO', errnoRet: 38 }] : [],
    });
    const env = { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/' };
    const r = await run({ args: [process.execPath, script, rootDir, user, folder], env, seccomp, noNewPrivileges: true });
    expect(r.stderr).toBe('');
    return JSON.parse(r.stdout) as Said;
  }

  beforeAll(async () => {
    rootDir = makeShellRoot();
    symlinkSync('/tmp/nowhere', path.join(rootDir, 'dangling'));
    const { mkdirSync } = await import('node:fs');
    mkdirSync(path.join(rootDir, 'etc/hidden'));
    writeFileSync(path.join(rootDir, 'etc/hidden/one'), '');
    writeFileSync(path.join(rootDir, 'etc/secret'), 'secret');
    writeFileSync(path.join(rootDir, 'etc/file'), '');
    folder = makeTempDir('legacy');
    (await import('node:fs')).chmodSync(folder, 0o755);
    writeFileSync(path.join(folder, 'file'), 'content\n');
    script = await bundle(SCRIPT);
    plain = await under([]);
  });

  it('refuses flags that the mounts below would not have', async () => {
    mkdirSync(path.join(folder, 'below'), { recursive: true });
    const one = await bundle(`
      import { spawn } from 'ns'
      const [folder, user] = process.argv.slice(2)
      const write = (o) => spawn({ args: ['sh', '-c', 'touch /mnt/below/x'], env: process.env, stdio: ['ignore', 'ignore', 'ignore'], namespaces: { user, mount: 'new' },
        mounts: [{ type: 'bind', source: folder, target: '/mnt', ...o }] }).then((p) => p.exited, (e) => e)
      const said = [await write({ readOnly: true }), await write({ readOnly: true, recursive: false }), await write({})]
      console.log(JSON.stringify(said.map((s) => s.exitCode ?? [s.code, s.message])))
    `);
    const seccomp = compileSeccomp({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['mount_setattr'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 }],
    });
    // With something mounted in the folder, which only this Node and what it starts can see.
    const mounts = [{ type: 'tmpfs', target: path.join(folder, 'below') }] as const;
    const env = { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/' };
    // Root of that namespace: in one more the mounts would be locked together (mount_namespaces(7)).
    const args = [process.execPath, one, folder, 'host'];
    const r = await run({ args, env, seccomp, noNewPrivileges: true, namespaces: { mount: 'new', user }, mounts });
    expect(r.stderr).toBe('');
    expect(JSON.parse(r.stdout)).toEqual([
      ['CTR_UNSUPPORTED', expect.stringContaining(`flags for what is mounted below ${folder}`)],
      // The folder alone, where nothing can be made.
      1,
      0,
    ]);
  });

  it('is what it is compared with', () => {
    expect(plain['left']).toEqual([]);
    expect(plain.first.exit).toBe(0);
    expect(plain.first.out).toContain('content\ncontent\n0\n0\n');
    expect(plain.first.out).toMatch(/\/dev ro,nosuid,noexec,relatime\n(?:.*\n)*\/late ro,.*\n\/late\/inner rw/);
    expect(plain.first.out).toMatch(/\nrw,size=128k.*\nrw,sync/);
  });

  it.each(Object.keys(HIDDEN))('shows the same inside without %s', async (what) => {
    const said = await under(HIDDEN[what] as string[]);
    const { idmap, magic, tty, ...rest } = said;
    const { idmap: _, magic: __, tty: ___, ...expected } = plain;
    expect(rest).toEqual(expected);
    expect(tty).toEqual({ out: 'tty\r\n', exit: 0 });
    // Nothing of the host's is there to be found, or the link is not followed.
    expect(magic).toMatch(/ENOENT|ELOOP/);
    if (what === 'openat2') expect(idmap).toBe('ran');
    else expect(idmap).toContain('a mount that travels between host and container');
  });
});
