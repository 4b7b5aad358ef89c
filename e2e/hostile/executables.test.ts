// Malicious processes: through descriptors and executables of the launcher to the host (CVE-2019-5736, CVE-2024-21626, CVE-2016-9962).
import {
  type BigIntStats,
  chmodSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { makeTempDir, need } from '@ctr/internal/testing';
import { Fd, monitorPid, spawn } from '@ctr/namespaces';
import { type Container, type RunOptions, runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { run } from '../fixtures/command.js';
import type { Facts } from '../fixtures/inside.js';
import { base, cleanly, newRoot, patience, rootfs, rounds, WAYS } from './fixtures/hostile.js';

const asRoot = need('root');
const children = fileURLToPath(new URL('./children/', import.meta.url));
const native = fileURLToPath(new URL('../../packages/namespaces/native/', import.meta.url));

/**
 * The files of ours that run on the host: Node, the addon, the launcher's program; each with what tells of any change. To read them all takes
 * most of the test on a slow machine, and no write leaves the time of change (ctime), which nobody can set.
 */
function hostPrograms(): Record<string, string> {
  const build = readdirSync(native, { recursive: true, encoding: 'utf8' }).filter((f) => /(^|\/)(ctr-init|[^/]+\.node)$/.test(f));
  const files = [process.execPath, ...build.map((f) => path.join(native, f))];
  const state = ({ size, ctimeNs, mtimeNs }: BigIntStats): string => `${size} bytes, changed at ${ctimeNs}, ${mtimeNs}`;
  return Object.fromEntries(files.map((f) => [f, state(statSync(f, { bigint: true }))]));
}

beforeAll(async () => {
  if (base.ok) await rootfs();
});

describe.skipIf(!base.ok).each(WAYS)(base.title('executables, for $way'), ({ options }) => {
  it('C-01 an entrypoint that is /proc/self/exe, and writers to it, change no file of the host', async () => {
    const root = await newRoot();
    writeFileSync(path.join(root, 'evil'), '#!/proc/self/exe\n');
    // Whatever interpreter or library the image offers is not what runs on the host.
    writeFileSync(
      path.join(root, 'writer'),
      '#!/bin/sh\nfor e in /proc/[0-9]*/exe; do (echo overwritten > "$e") 2>/dev/null && readlink "$e"; done; true\n',
    );
    for (const f of ['evil', 'writer']) chmodSync(path.join(root, f), 0o755);
    const before = hostPrograms();
    expect(Object.keys(before).length).toBeGreaterThanOrEqual(3);
    await cleanly(async () => {
      const text = await runContainer({ rootfs: root, command: ['/writer'], ...options }).text();
      // Its own program is a file of its own layer, and busy.
      expect(
        text
          .trim()
          .split('\n')
          .filter((l) => l !== '' && !l.startsWith('/bin')),
      ).toEqual([]);
      // What it starts is the launcher's program, without anything to control: it does nothing, and dies like any other.
      const r = await runContainer({ rootfs: root, command: ['/evil'], timeout: 700, ...options })
        .result()
        .catch((e: Error) => e);
      expect(r instanceof Error || r.reason === 'timeout' || r.exitCode !== null).toBe(true);
      await using box = await runContainer({ rootfs: root, command: ['/bin/sleep', '60'], ...options });
      const second = box
        .exec(['/evil'], { timeout: 700 })
        .result()
        .catch((e: Error) => e);
      const writers = Array.from({ length: 5 }, () => box.exec(['/writer']).result());
      for (const w of await Promise.all(writers)) expect(w.stdout).not.toMatch(/memfd|ctr|node/);
      await second;
    });
    expect(hostPrograms()).toEqual(before);
  }, 60_000);

  it('C-02 a program that is replaced for exec finds the launcher as a sealed copy in memory', async () => {
    const root = await newRoot();
    const before = hostPrograms();
    // Programs may be started from it, as from a layer's.
    const tmp: RunOptions = { tmpfs: {}, mounts: [{ type: 'tmpfs', target: '/tmp', noexec: false }] };
    await cleanly(async () => {
      await using box = await runContainer({ rootfs: root, command: ['/bin/sleep', '60'], ...options, ...tmp });
      const script = 'printf "#!/proc/self/exe\\n" > /tmp/ls && chmod 755 /tmp/ls && printf evil > /tmp/libc.so.6';
      expect(await box.exec(['/bin/sh', '-c', script]).result()).toMatchObject({ exitCode: 0, stderr: '' });
      const replaced = box.exec(['ls'], { env: { PATH: '/tmp', LD_LIBRARY_PATH: '/tmp' }, timeout: 1000 }).result();
      const r = await box
        .exec([
          '/bin/sh',
          '-c',
          `for e in /proc/[0-9]*/exe; do case $(readlink $e) in *memfd*) (echo x > $e) 2>/dev/null && echo written;; esac; done; true`,
        ])
        .result();
      expect(r.stdout).toBe('');
      // The launcher's program without anything to control: it ends, or is ended, and has listed nothing.
      expect((await replaced).stdout).toBe('');
    });
    expect(hostPrograms()).toEqual(before);
  });

  it.skipIf(!asRoot.ok)(asRoot.title('C-02 the monitor runs from a memfd that nobody can change'), async () => {
    const exe = `/proc/${monitorPid()}/exe`;
    expect(readlinkSync(exe)).toMatch(/^\/memfd:ctr-init \(deleted\)$/);
    expect(() => closeSync(openSync(exe, 'r+'))).toThrow(/ETXTBSY|EPERM|EACCES/);
    const python = `import fcntl,sys; print(fcntl.fcntl(open(sys.argv[1],'rb'), 1034))`;
    const seals = Number((await run('python3', ['-c', python, exe])).stdout);
    // F_SEAL_SEAL, SHRINK, GROW, WRITE.
    expect(seals & 0xf).toBe(0xf);
  });

  it(
    'C-05 root inside gets nothing of the launcher’s processes beside it: of exec',
    async () => {
      await cleanly(async () => {
        await using box = await runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '600'], ...options });
        await peekUntilSeen(box, 2, () => Promise.all([1, 2, 3].map(() => box.exec(['/inside/true']).result())));
      });
    },
    patience(60_000),
  );

  it(
    'C-05 nor of one that waits for its program',
    async () => {
      await cleanly(async () => {
        await using box = await runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '600'], execSlots: 4, ...options });
        await peekUntilSeen(box, 2, async () => {
          await Promise.all([1, 2, 3].map(() => box.exec(['/inside/true']).result()));
          await sleep(20);
        });
      });
    },
    patience(60_000),
  );

  it.skipIf(!asRoot.ok)(
    asRoot.title('C-05 nor of a process of the host that is started among its own'),
    async () => {
      await cleanly(async () => {
        await using box = await runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '600'], ...options });
        using pid = new Fd(openSync(`/proc/${box.pid}/ns/pid`, 'r'));
        await peekUntilSeen(box, 1, async () => {
          const beside = await spawn({ args: ['/bin/true'], namespaces: { pid }, stdio: ['ignore', 'ignore', 'ignore'] });
          await beside.exited;
          await beside.cleaned;
        });
      });
    },
    patience(60_000),
  );

  it('C-45 a user is looked up without the image’s libraries', async () => {
    const root = await newRoot();
    writeFileSync(path.join(root, 'etc/nsswitch.conf'), 'passwd: evil\ngroup: evil\nhosts: evil\n');
    for (const dir of ['lib', 'lib64', 'usr/lib']) symlinkSync('bin', path.join(root, dir));
    for (const lib of ['libnss_evil.so.2', 'libnss_files.so.2', 'libc.so.6'])
      writeFileSync(path.join(root, 'bin', lib), 'no library: loading it would fail');
    await cleanly(async () => {
      const user = options.userns || asRoot.ok ? 'app' : 'root';
      await using box = await runContainer({ rootfs: root, command: ['/bin/sleep', '60'], user, ...options });
      expect(await box.exec(['/bin/id', '-u'], { user }).text()).toBe(user === 'app' ? '1000\n' : '0\n');
    });
  });
});

/** Looks at the launcher's processes in the container for a second while `start` makes them; again when it came too late for each. */
async function peekUntilSeen(box: Container, peekers: number, start: () => Promise<unknown>): Promise<void> {
  const seconds = rounds(1);
  let seen = 0;
  for (let tries = 0; seen === 0 && tries < 15; tries++) {
    let done = false;
    const peeks = Promise.all(
      Array.from({ length: peekers }, () => box.exec(['/inside/peek', String(seconds)]).json<{ found: string[]; seen: number }>()),
    ).finally(() => {
      done = true;
    });
    while (!done) await start();
    for (const got of await peeks) {
      expect(got.found).toEqual([]);
      seen += got.seen;
    }
  }
  // Else nothing was tried.
  expect(seen).toBeGreaterThan(0);
}

describe.skipIf(!base.ok)(base.title('what a start hands on'), () => {
  it('C-04 C-06 is no descriptor and no variable of a Node that is full of them', async () => {
    const secret = makeTempDir('secret');
    writeFileSync(path.join(secret, 'key'), 'secret');
    const open = `
import os, socket, select, sys
os.chdir(${JSON.stringify(secret)})
keep = []
for i in range(10):
    s = socket.socket(); e = select.epoll()
    keep += [s, e]
    for fd in (os.open('.', os.O_RDONLY), os.open('key', os.O_RDONLY), s.fileno(), os.memfd_create('x'), e.fileno()):
        os.set_inheritable(fd, True)
os.execv(sys.argv[1], sys.argv[1:])`;
    const r = await run('python3', ['-c', open, process.execPath, `${children}leaky.mjs`, await rootfs()], {
      env: { ...process.env, NODE_OPTIONS: '', SECRET: 'of-the-host' },
    });
    expect(r.stderr).toBe('');
    const { own, alone, beside, first, fds } = JSON.parse(r.stdout) as {
      own: number;
      alone: Facts;
      beside: Facts;
      first: string;
      fds: string;
    };
    expect(own).toBeGreaterThan(50);
    for (const facts of [alone, beside]) expect(Object.keys(facts.descriptors).sort()).toEqual(['0', '1', '2']);
    expect(
      fds
        .trim()
        .split('\n')
        .filter((l) => l.includes('->')),
    ).toHaveLength(3);
    expect(JSON.stringify([alone.env, beside.env, first])).not.toMatch(/SECRET|of-the-host|CTR_|XDG|NODE/);
    expect(alone.env.map((e) => e.split('=')[0]).sort()).toEqual(['HOME', 'HOSTNAME', 'PATH']);
    expect(beside.env.map((e) => e.split('=')[0]).sort()).toEqual(['GIVEN', 'HOME', 'HOSTNAME', 'PATH']);
    // /proc/1/environ, then /proc/1/cmdline: exactly what was asked for.
    expect(first.split('\0').filter((w) => !/^(PATH|HOME|HOSTNAME)=/.test(w))).toEqual(['GIVEN=yes', '/bin/sleep', '60', '']);
  });

  it('C-45 is a launcher without libraries', () => {
    const file = readdirSync(native, { recursive: true, encoding: 'utf8' })
      .map((f) => path.join(native, f))
      .find((f) => /\/ctr-init$/.test(f) && existsSync(f));
    const elf = readFileSync(file ?? '');
    const headers = Number(elf.readBigUInt64LE(32));
    const types = Array.from({ length: elf.readUInt16LE(56) }, (_, i) => elf.readUInt32LE(headers + i * elf.readUInt16LE(54)));
    // PT_DYNAMIC and PT_INTERP: neither a loader nor anything to load.
    expect(types).not.toContain(2);
    expect(types).not.toContain(3);
  });
});
