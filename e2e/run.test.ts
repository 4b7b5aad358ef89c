// The promise: one call runs a program in a container of its own, and everything asked for is so, seen from inside and outside.
import './fixtures/store.js';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { type RunOptions, runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { busyboxRoot } from './fixtures/busybox-root.js';
import type { Facts } from './fixtures/inside.js';
import { mapsLayers } from './fixtures/mapped-layers.js';

const n = need('linux', 'userns', 'overlay-in-userns', 'busybox', 'static-cc');
const manyIds = need('root');
const limits = need('cgroup:memory', 'cgroup:pids');

let rootfs = '';
const sh = (script: string, o: RunOptions = {}) => runContainer({ rootfs, command: ['/bin/sh', '-c', script], ...o });
const facts = (o: RunOptions = {}) => runContainer({ rootfs, command: ['/inside/facts'], ...o }).json<Facts>();
const ownLink = (name: string): string => readlinkSync(`/proc/self/ns/${name}`);

beforeAll(async () => {
  if (n.ok) rootfs = await busyboxRoot();
});

describe.skipIf(!n.ok)(n.title('the end of a program'), () => {
  it('comes with its output and exit code 0', async () => {
    const r = await sh('echo out; echo err >&2').result();
    expect({ ok: r.ok, exitCode: r.exitCode, signal: r.signal, reason: r.reason, stdout: r.stdout, stderr: r.stderr }).toEqual({
      ok: true,
      exitCode: 0,
      signal: null,
      reason: 'exited',
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  it.each([1, 3, 127, 255])('with exit code %i is a result and not an exception', async (code) => {
    const r = await sh(`exit ${code}`).result();
    expect([r.ok, r.exitCode, r.signal, r.reason]).toEqual([false, code, null, 'exited']);
  });

  it('by a signal from outside names the signal', async () => {
    await using box = await sh('echo ready; exec sleep 60');
    expect(box.kill('SIGKILL')).toBe(true);
    const r = await box.exited;
    expect([r.exitCode, r.signal, r.reason]).toEqual([null, 'SIGKILL', 'signaled']);
    expect(box.kill('SIGKILL')).toBe(false);
  });

  it('by its own fault names the signal', async () => {
    await using box = await sh('sleep 60');
    const r = await box.exec(['/bin/sh', '-c', 'kill -SEGV $$']).result();
    expect([r.exitCode, r.signal, r.reason]).toEqual([null, 'SIGSEGV', 'signaled']);
  });

  it('after a signal that it handles is its own', async () => {
    await using box = await sh('trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done');
    await firstOutput(box.stdout);
    box.kill('SIGTERM');
    expect((await box.exited).exitCode).toBe(7);
  });

  it('says how long it took and what it used', async () => {
    await using box = await sh('read line; /inside/spin 0.1 >/dev/null', { stdin: 'pipe' });
    const runs = performance.now();
    await sleep(100);
    box.stdin?.end('go\n');
    const r = await box.exited;
    expect(r.durationMs).toBeGreaterThanOrEqual(99);
    expect(r.durationMs).toBeLessThan(performance.now() - runs + 1000);
    // However little of its 100 ms a busy machine gives it.
    expect(r.usage.cpuUserMs + r.usage.cpuSystemMs).toBeGreaterThan(1);
    expect(r.startedAt).toBeInstanceOf(Date);
  });

  it('is reported to everybody who waits, also afterwards', async () => {
    await using box = await sh('exit 5');
    const all = await Promise.all([box.wait(), box.exited]);
    expect(all.map((s) => s.exitCode)).toEqual([5, 5]);
    expect((await box.wait()).exitCode).toBe(5);
  });
});

describe.skipIf(!n.ok)(n.title('its streams'), () => {
  it('read nothing when no input is given', async () => {
    expect((await sh('cat; echo end').result()).stdout).toBe('end\n');
  });

  it('take input as text and as bytes', async () => {
    expect((await runContainer({ rootfs, command: ['/bin/cat'], input: 'grüße' }).result()).stdout).toBe('grüße');
    expect((await runContainer({ rootfs, command: ['/bin/wc', '-c'], input: new Uint8Array(300_000) }).result()).stdout.trim()).toBe(
      '300000',
    );
  });

  it('are Node streams', async () => {
    await using box = await runContainer({ rootfs, command: ['/bin/cat'], stdin: 'pipe' });
    let text = '';
    box.stdout?.setEncoding('utf8').on('data', (s: string) => {
      text += s;
    });
    box.stdin?.write('one\n');
    box.stdin?.end('two\n');
    await new Promise((resolve) => box.stdout?.once('close', resolve));
    expect((await box.exited).exitCode).toBe(0);
    expect(text).toBe('one\ntwo\n');
  });

  it('lose no byte of a large output', async () => {
    const r = await sh('dd if=/dev/zero bs=1M count=8 2>/dev/null | tr "\\0" x', { maxBuffer: '16m' }).result();
    expect(createHash('sha256').update(r.stdout).digest('hex')).toBe(
      createHash('sha256')
        .update(Buffer.alloc(8 << 20, 'x'))
        .digest('hex'),
    );
  });

  it('go into a stream of the caller', async () => {
    let text = '';
    const sink = new Writable({
      write: (chunk, _encoding, done) => {
        text += chunk;
        done();
      },
    });
    await sh('echo into the stream', { stdout: sink }).result();
    expect(text).toBe('into the stream\n');
  });

  it('go nowhere when they are ignored', async () => {
    const r = await sh('to=$(readlink /proc/1/fd/1); echo $to >&2', { stdout: 'ignore' }).result();
    expect(r.stderr).toBe('/dev/null\n');
  });

  it('end a program that says more than maxBuffer', async () => {
    await expect(sh('yes', { maxBuffer: 100_000 }).result()).rejects.toThrow(/maxBuffer/);
  });
});

describe.skipIf(!n.ok)(n.title('shortcuts'), () => {
  it('text() is the standard output', async () => {
    expect((await sh('echo hi').text()).trimEnd()).toBe('hi');
  });

  it('json() parses it', async () => {
    expect(await sh(`echo '{"a":[1,2]}'`).json()).toEqual({ a: [1, 2] });
  });

  it('lines() gives one by one', async () => {
    const lines: string[] = [];
    for await (const line of sh('printf "a\\nb\\n\\nlast"').lines()) lines.push(line);
    expect(lines).toEqual(['a', 'b', '', 'last']);
  });

  it('lines() that are not read to the end end the container', async () => {
    for await (const line of sh('while :; do echo more; done').lines()) {
      expect(line).toBe('more');
      break;
    }
  });

  it('start nothing before somebody waits', async () => {
    const flag = path.join(makeTempDir('lazy'), 'here');
    const run = sh('touch /shared/here', { mounts: [{ type: 'bind', source: path.dirname(flag), target: '/shared' }] });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(existsSync(flag)).toBe(false);
    await run.result();
    expect(existsSync(flag)).toBe(true);
  });
});

describe.skipIf(!n.ok)(n.title('what the program sees of itself'), () => {
  it('is PID 1, alone', async () => {
    const f = await facts();
    expect([f.pid, f.ppid, f.sid]).toEqual([1, 0, 1]);
    expect(f.processes.filter((p) => /^\d+$/.test(p))).toEqual(['1']);
    expect(f.exe).toBe('/inside/facts');
  });

  it('is in namespaces of its own', async () => {
    const f = await facts();
    const shared = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts'].filter((name) => f.namespaces[name] === ownLink(name));
    // Root's by default: where its layers can be shown in one.
    expect(shared).toEqual(mapsLayers || !host.can('root') ? [] : ['user']);
  });

  it('has the argv, the environment and nothing of ours', async () => {
    process.env['CTR_E2E_SECRET'] = 'ours';
    const f = await facts({ command: ['/inside/facts', 'a b', ''], env: { A: '1', EMPTY: '' } });
    expect(f.argv).toEqual(['/inside/facts', 'a b', '']);
    expect(f.env).toContain('A=1');
    expect(f.env).toContain('EMPTY=');
    expect(f.env.filter((e) => e.startsWith('CTR_') || e.startsWith('NODE_') || e.startsWith('VITEST'))).toEqual([]);
  });

  it('starts in / or where asked, which is made when missing', async () => {
    expect((await facts()).cwd).toBe('/');
    expect((await facts({ cwd: '/etc' })).cwd).toBe('/etc');
    expect((await facts({ cwd: '/new/deep' })).cwd).toBe('/new/deep');
    expect(existsSync(path.join(rootfs, 'new'))).toBe(false);
  });

  it('has the host name asked for, else one of its own', async () => {
    expect((await facts({ hostname: 'web.example', domainname: 'example' })).hostname).toBe('web.example');
    expect((await facts()).hostname).toMatch(/^[0-9a-f]{12}$/);
  });

  it('holds no descriptor but its three streams', async () => {
    const f = await facts();
    expect(Object.keys(f.descriptors).sort()).toEqual(['0', '1', '2']);
  });

  it('has the default limits of a process, and ignores no signal', async () => {
    const f = await facts();
    expect(f.rlimits.core).toEqual({ soft: 0, hard: 0 });
    expect(f.rlimits.nofile.soft).toBe(1024);
    expect(f.ignoredSignals).toEqual([]);
    expect(f.status.Umask).toBe('0022');
  });

  it('has the limits of a process that were asked for', async () => {
    const f = await facts({ ulimits: { nofile: 64, core: { soft: 0, hard: 0 } } });
    expect(f.rlimits.nofile).toEqual({ soft: 64, hard: 64 });
  });

  it('finds its program in PATH', async () => {
    expect((await runContainer({ rootfs, command: ['facts'], env: { PATH: '/nowhere:/inside' } }).json<Facts>()).pid).toBe(1);
  });
});

describe.skipIf(!n.ok)(n.title('what the program may'), () => {
  /** CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP by their bits in linux/capability.h. */
  const ELEVEN = [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31].reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n);

  it('is what the sandbox leaves: eleven capabilities, no new privileges, a filter', async () => {
    const { status } = await facts();
    const mask = ELEVEN.toString(16).padStart(16, '0');
    expect([status.CapBnd, status.CapPrm, status.CapEff, status.CapInh, status.CapAmb]).toEqual([
      mask,
      mask,
      mask,
      '0'.repeat(16),
      '0'.repeat(16),
    ]);
    expect([status.NoNewPrivs, status.Seccomp]).toEqual(['1', '2']);
  });

  it('can be less, or more', async () => {
    const none = await facts({ capabilities: { drop: 'all' } });
    expect(Number(`0x${none.status.CapEff}`)).toBe(0);
    const one = await facts({ capabilities: { drop: 'all', add: ['NET_ADMIN'] } });
    expect(Number(`0x${one.status.CapEff}`)).toBe(1 << 12);
  });

  it('is not to mount, unshare or see the keys', async () => {
    const r = await sh('mount -t tmpfs none /tmp; unshare -U true; cat /proc/kcore | head -c1 | wc -c; cat /proc/keys | wc -c').result();
    expect(r.stderr).toMatch(/mount: .*(not permitted|denied)/);
    expect(r.stderr).toMatch(/unshare.*not permitted/);
    expect(r.stdout.trim().split(/\s+/)).toEqual(['0', '0']);
  });

  it('is not to change the kernel through /proc and /sys', async () => {
    const r = await sh('echo 1 > /proc/sys/vm/drop_caches; chmod 700 /proc/irq; mkdir /sys/x; echo done').result();
    expect(r.stderr.match(/Read-only file system|Permission denied|not permitted/g)).toHaveLength(3);
    expect(r.stdout).toBe('done\n');
  });

  it('sees a /dev of its own', async () => {
    const f = await facts();
    for (const name of ['null', 'zero', 'full', 'random', 'urandom', 'tty', 'pts', 'shm', 'fd', 'stdin', 'stdout', 'stderr', 'ptmx'])
      expect(f.dev).toContain(name);
    expect(f.dev.filter((d) => /^(vd|sd|nvme|loop|kvm|mem|kmsg|fuse|net)/.test(d))).toEqual([]);
    expect((await sh('echo x > /dev/null; head -c4 /dev/zero | wc -c; echo > /dev/full').result()).stdout.trim()).toBe('4');
  });

  it('sees only a loopback that is up', async () => {
    expect((await facts()).links).toEqual(['lo']);
    expect(
      (
        await sh('cat /sys/class/net/lo/flags; ping -c1 -W2 127.0.0.1 | grep -c "1 packets received"', {
          capabilities: { add: ['NET_RAW'] },
        }).result()
      ).stdout,
    ).toMatch(/^0x9\n1/);
  });

  it('is the host network when asked', async () => {
    expect((await facts({ network: 'host' })).namespaces['net']).toBe(ownLink('net'));
  });
});

describe.skipIf(!n.ok || !manyIds.ok)(manyIds.title(n.title('its user')), () => {
  it('is given by numbers, groups and mask', async () => {
    const f = await facts({ user: { uid: 4321, gid: 8765, groups: [5, 6], umask: 0o077 } });
    // The primary group is among the supplementary ones, so that a negative group permission holds (CVE-2022-36109).
    expect([f.uid, f.savedUid, f.gid, f.groups, f.status.Umask]).toEqual([4321, 4321, 8765, [5, 6, 8765], '0077']);
    expect([f.status.CapEff, f.status.CapPrm]).toEqual(['0'.repeat(16), '0'.repeat(16)]);
  });

  it('is looked up in the root, with its groups', async () => {
    const f = await facts({ user: 'app' });
    expect([f.uid, f.gid, f.groups]).toEqual([1000, 1000, expect.arrayContaining([29])]);
    expect(f.env).toContain('HOME=/home/app');
  });

  it('and group can be given apart', async () => {
    const f = await facts({ user: 'app:audio' });
    expect([f.uid, f.gid]).toEqual([1000, 29]);
  });

  it('that does not exist is an error before the start', async () => {
    await expect(sh('true', { user: 'nobody-here' }).result()).rejects.toThrow(/nobody-here/);
  });
});

describe.skipIf(!n.ok)(n.title('its files'), () => {
  it('are written to a layer of its own: the folder stays as it was', async () => {
    const before = readdirSync(rootfs).sort();
    for (const writable of ['memory', 'disk'] as const) {
      const r = await sh('echo x > /new && rm /etc/hostname && ls /new /etc', { writable }).result();
      expect([r.exitCode, r.stdout]).toEqual([0, expect.stringMatching(/^\/new\n\n\/etc:\n(?!.*hostname)/s)]);
    }
    expect(readdirSync(rootfs).sort()).toEqual(before);
    expect(readFileSync(path.join(rootfs, 'etc/hostname'), 'utf8')).toBe('from-the-image\n');
  });

  it('are not seen by another container of the same root', async () => {
    const [a, b] = await Promise.all(['a', 'b'].map((name) => sh(`echo ${name} > /mine; sleep 0.2; cat /mine; ls /`).text()));
    expect([a?.startsWith('a\n'), b?.startsWith('b\n')]).toEqual([true, true]);
  });

  it('cannot be written with readOnly, but mounts can', async () => {
    const r = await sh('echo x > /new; echo y > /tmp/new && cat /tmp/new', { readOnly: true, tmpfs: { '/tmp': '1m' } }).result();
    expect(r.stdout).toBe('y\n');
    expect(r.stderr).toMatch(/Read-only file system/);
  });

  it('hold a folder of the host, to write or only to read', async () => {
    const dir = makeTempDir('bind');
    writeFileSync(path.join(dir, 'file'), 'from the host\n');
    const rw = await sh('cat /data/file; echo from inside > /data/back', {
      mounts: [{ type: 'bind', source: dir, target: '/data' }],
    }).result();
    expect([rw.stdout, readFileSync(path.join(dir, 'back'), 'utf8')]).toEqual(['from the host\n', 'from inside\n']);
    const ro = await sh('echo x > /data/file', { mounts: [{ type: 'bind', source: dir, target: '/data', readOnly: true }] }).result();
    expect([ro.exitCode, ro.stderr]).toEqual([1, expect.stringMatching(/Read-only file system/)]);
  });

  it('hold a single file of the host', async () => {
    const file = path.join(makeTempDir('bind'), 'one');
    writeFileSync(file, 'one\n');
    expect(await sh('cat /etc/one', { mounts: [{ type: 'bind', source: file, target: '/etc/one', readOnly: true }] }).text()).toBe('one\n');
  });

  it('hold a tmpfs of the size and mode asked for', async () => {
    const r = await sh('stat -c %a /scratch; dd if=/dev/zero of=/scratch/x bs=64k count=100 2>&1 | grep -c "No space"', {
      mounts: [{ type: 'tmpfs', target: '/scratch', size: '1m', mode: 0o750 }],
    }).result();
    expect(r.stdout).toBe('750\n1\n');
  });

  it('never reach outside through a link in the root', async () => {
    const outside = makeTempDir('outside');
    const evil = await busyboxRoot();
    // Inside, the link leads to a folder of the same name below the root.
    mkdirSync(path.join(evil, outside), { recursive: true });
    symlinkSync(outside, path.join(evil, 'escape'));
    const r = await runContainer({
      rootfs: evil,
      command: ['/bin/sh', '-c', 'echo x > /escape/data/file'],
      mounts: [{ type: 'tmpfs', target: '/escape/data', size: '1m' }],
    }).result();
    expect(r.exitCode).toBe(0);
    expect(readdirSync(outside)).toEqual([]);
  });

  it('are the machine’s own with rootfs: "host", and stay as they are', async () => {
    // Not in a temporary folder: what is mounted in the tree, as /tmp may be, is not part of it.
    const marker = `/ctr-test-marker-${process.pid}`;
    const command = ['/bin/sh', '-c', `echo x > ${marker}; cat ${marker}; id -u; head -c1 /etc/os-release`];
    // An ordinary user's kernel stacks no layer over a tree with mounts of others in it: he gets it read-only.
    const root = host.can('root');
    const r = await runContainer({ rootfs: 'host', command, readOnly: !root }).result();
    expect(r.stdout).toBe(`${root ? 'x\n' : ''}0\n${readFileSync('/etc/os-release', 'utf8')[0]}`);
    const found = existsSync(marker);
    rmSync(marker, { force: true });
    expect(found).toBe(false);
  });
});

describe.skipIf(!n.ok)(n.title('while it runs'), () => {
  it('its process is seen from outside by its pid', async () => {
    await using box = await sh('sleep 60', { hostname: 'inside' });
    expect(box.status).toBe('running');
    expect(readFileSync(`/proc/${box.pid}/status`, 'utf8')).toMatch(/NSpid:.*\t1\n/);
    expect(readlinkSync(`/proc/${box.pid}/ns/pid`)).not.toBe(ownLink('pid'));
  });

  it('exec runs another program beside it', async () => {
    await using box = await sh('echo $$ > /tmp/first; sleep 60', { hostname: 'both', env: { A: 'box' } });
    const f = await box.exec(['/inside/facts'], { env: { B: 'exec' }, cwd: '/tmp' }).json<Facts>();
    expect([f.hostname, f.cwd, f.pid > 1]).toEqual(['both', '/tmp', true]);
    for (const name of ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts'])
      expect(f.namespaces[name]).toBe(readlinkSync(`/proc/${box.pid}/ns/${name}`));
    expect(f.env).toContain('B=exec');
    const r = await box.exec(['/bin/sh', '-c', 'cat /tmp/first; cat; exit 3'], { input: 'in' }).result();
    expect([r.exitCode, r.stdout, r.reason]).toEqual([3, '1\nin', 'exited']);
  });

  it('exec has no more rights than the container', async () => {
    await using box = await sh('sleep 60');
    const [one, two] = [await facts(), await box.exec(['/inside/facts']).json<Facts>()];
    for (const key of ['CapBnd', 'CapEff', 'CapPrm', 'CapInh', 'NoNewPrivs', 'Seccomp'] as const)
      expect([key, two.status[key]]).toEqual([key, one.status[key]]);
    expect(Object.keys(two.descriptors).sort()).toEqual(['0', '1', '2']);
    expect(two.cgroups).toEqual(one.cgroups);
  });

  it('twenty at once do not disturb each other', async () => {
    const codes = await Promise.all(Array.from({ length: 20 }, (_, i) => sh(`echo ${i}; exit ${i}`).result()));
    expect(codes.map((r) => [r.exitCode, r.stdout])).toEqual(codes.map((_, i) => [i, `${i}\n`]));
  });

  it.skipIf(!limits.ok)(limits.title('stats tell what it uses'), async () => {
    await using box = await runContainer({ rootfs, command: ['/inside/hog', '20', '60'], resources: { memory: '100m', pids: 50 } });
    await firstOutput(box.stdout);
    const s = await box.stats();
    expect(s.memory?.usageBytes).toBeGreaterThan(20 << 20);
    expect(s.memory?.limitBytes).toBe(100 << 20);
    expect(s.pids?.current).toBe(1);
    expect(s.cpu?.usageMs).toBeGreaterThan(0);
  });

  it('stop asks, and says that it was stopped', async () => {
    await using box = await sh('trap "echo bye; exit 0" TERM; echo ready; while :; do sleep 0.05; done');
    await firstOutput(box.stdout);
    const r = await box.stop();
    expect([r.exitCode, r.reason]).toEqual([0, 'stopped']);
    expect(box.status).toBe('stopped');
  });

  it('stop kills what does not hear', async () => {
    await using box = await sh('trap "" TERM; echo ready; while :; do sleep 0.05; done', { stopTimeout: 100 });
    await firstOutput(box.stdout);
    const r = await box.stop();
    expect([r.exitCode, r.signal, r.reason]).toEqual([null, 'SIGKILL', 'stopped']);
  });

  it('a timeout kills it', async () => {
    const r = await sh('sleep 60', { timeout: 100 }).result();
    expect([r.ok, r.signal, r.reason]).toEqual([false, 'SIGKILL', 'timeout']);
  });

  it('an abort kills it, and is only reported when it is dead', async () => {
    const abort = new AbortController();
    const box = await sh('sleep 60', { signal: abort.signal });
    abort.abort(new Error('enough'));
    const r = await box.exited;
    expect([r.signal, r.reason]).toEqual(['SIGKILL', 'aborted']);
    expect(existsSync(`/proc/${box.pid}`)).toBe(false);
  });

  it('an abort before the start starts nothing', async () => {
    await expect(sh('true', { signal: AbortSignal.abort(new Error('enough')) }).result()).rejects.toMatchObject({
      name: 'AbortError',
      cause: { message: 'enough' },
    });
  });

  it('leaving the scope ends it', async () => {
    let pid = 0;
    {
      await using box = await sh('sleep 60');
      pid = box.pid;
      expect(statSync(`/proc/${pid}`).isDirectory()).toBe(true);
    }
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });
});

/** Resolves with the first piece of output: the program has come that far. */
function firstOutput(stream: NodeJS.ReadableStream | null): Promise<string> {
  return new Promise((resolve, reject) => {
    stream?.once('data', (chunk) => resolve(String(chunk)));
    stream?.once('end', () => reject(new Error('it ended without output')));
  });
}
