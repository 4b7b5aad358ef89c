// Malicious processes: who they are, what they know of other users, and which keys they can reach (CVE-2022-36109, CVE-2018-15664).
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeTempDir, need } from '@ctr/internal/testing';
import { runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { run } from '../fixtures/command.js';
import type { Facts } from '../fixtures/inside.js';
import { answersInside, type Call, unexpected } from './fixtures/calls.js';
import { base, cleanly, firstWords, inside, patience, rootfs, rounds, SOON, WAYS } from './fixtures/hostile.js';

const asRoot = need('root');
const asUser = need('ordinary-user');
const children = fileURLToPath(new URL('./children/', import.meta.url));

/** struct iovec: eight bytes at an address that every program of ours has. */
const IOVEC = 'b00000010000000000800000000000000';

beforeAll(async () => {
  if (base.ok) await rootfs();
});

describe.skipIf(!base.ok || !asRoot.ok)(asRoot.title(base.title('groups')), () => {
  /** What a Node that is in groups 27 and 998 gives its containers: by number, by name, and unknown to the image. */
  it('C-25 are those of the image’s user, and none of the launcher’s', async () => {
    const r = await run('setpriv', ['--groups', '0,27,998', process.execPath, `${children}groups.mjs`, await rootfs()], {
      env: { ...process.env, NODE_OPTIONS: '', CTR_RUN: makeTempDir('run'), CTR_ROOT: makeTempDir('store') },
    });
    expect(r.stderr).toBe('');
    const seen = JSON.parse(r.stdout) as Record<string, { groups: number[] }>;
    // The kernel keeps them in order.
    expect(seen).toEqual({
      own: [0, 27, 998],
      root: { uid: 0, gid: 0, groups: [0] },
      app: { uid: 1000, gid: 1000, groups: [29, 1000] },
      'app:audio': { uid: 1000, gid: 29, groups: [29] },
      '4242': { uid: 4242, gid: 0, groups: [0] },
      '4242:4343': { uid: 4242, gid: 4343, groups: [4343] },
      exec: { uid: 1000, gid: 1000, groups: [29, 1000] },
    });
  });
});

describe.skipIf(!base.ok || !asUser.ok)(asUser.title(base.title('groups of an ordinary user')), () => {
  it('C-25 are not to be had inside, and show as nobody’s: the kernel lets none be dropped either', async () => {
    const f = await runContainer({ rootfs: await rootfs(), command: ['/inside/facts'] }).json<Facts>();
    const own = process.getgroups?.() ?? [];
    expect(
      f.groups.every((g) => g === 65_534 || g === 0),
      `${own} became ${f.groups}`,
    ).toBe(true);
    expect(unexpected(await answersInside([['setgroups', 0, 0]]), 'EPERM')).toEqual({});
  });
});

describe.skipIf(!base.ok).each(WAYS)(base.title('who $way is'), ({ options }) => {
  it('C-21 no key of the host is found, added or searched for', async () => {
    const calls: Call[] = [
      ['add_key', 'suser', 'sevil', 'z', 8, -3],
      ['add_key', 'suser', 'sevil', 'z', 8, -4],
      ['request_key', 'suser', 'sevil', 0, 0],
      ['keyctl', 0, -3, 0], // GET_KEYRING_ID of the session
      ['keyctl', 0, -4, 0], // … of the user
      ['keyctl', 1, 0], // JOIN_SESSION_KEYRING
      ['keyctl', 11, -3, 'z', 4096], // READ
      ['keyctl', 10, -3, 'suser', 'sevil', 0], // SEARCH
      ['keyctl', 22, -1, -3], // GET_PERSISTENT
      ['keyctl', 8, 0, -3], // LINK
    ];
    expect(unexpected(await cleanly(() => answersInside(calls, options)), 'EPERM')).toEqual({});
    expect((await inside('cat /proc/keys; ls -l /proc/keys | head -c 1', options)).stdout).toBe('c');
  });

  it(
    'C-42 looking up a user while its files are swapped for links reads no file of the host',
    async () => {
      const host = makeTempDir('host');
      writeFileSync(path.join(host, 'passwd'), 'app:x:4711:4711::/:/bin/sh\nroot:x:4711:4711::/:\n', { mode: 0o644 });
      await cleanly(async () => {
        // /etc is the container's own layer; the swap is between its passwd, a link to the host's, and a loop.
        const script = `mkdir -p /tmp/e && printf 'root:x:0:0::/root:/bin/sh\\napp:x:1000:1000::/:/bin/sh\\n' > /tmp/e/passwd && ln -s ${host}/passwd /tmp/e/evil && exec /inside/flip /tmp/e/passwd /tmp/e/evil`;
        const root = await rootfs();
        const linked = makeTempDir('root');
        await run('cp', ['-a', `${root}/.`, linked]);
        await run('rm', [path.join(linked, 'etc/passwd')]);
        symlinkSync('../tmp/e/passwd', path.join(linked, 'etc/passwd'));
        await run('chmod', ['755', linked]);
        await using box = await runContainer({ rootfs: linked, command: ['/bin/sh', '-c', script], ...options });
        await firstWords(box);
        const user = asRoot.ok ? 'app' : 'root';
        const right = asRoot.ok ? '1000' : '0';
        const seen = new Set<string>();
        // Until it was there once: on a machine with much else to do the swapping may rest for many rounds.
        for (let i = 0, end = performance.now() + SOON; i < rounds(40) || (!seen.has(right) && performance.now() < end); i++)
          seen.add(
            await box
              .exec(['/bin/id', '-u'], { user })
              .text()
              .then(
                (t) => t.trim(),
                (e: Error) => e.name,
              ),
          );
        expect([...seen].filter((s) => ![right, 'ImageError', 'SyscallError'].includes(s))).toEqual([]);
        expect(seen.has(right)).toBe(true);
        expect(box.exitStatus).toBeUndefined();
      });
      expect(readdirSync(host)).toEqual(['passwd']);
    },
    patience(60_000),
  );

  it('C-42 statistics come from the kernel alone, whatever the container does to its paths', async () => {
    await cleanly(async () => {
      await using box = await runContainer({
        rootfs: await rootfs(),
        command: ['/bin/sh', '-c', 'touch /tmp/a /tmp/b && exec /inside/flip /tmp/a /tmp/b'],
        ...options,
      });
      await firstWords(box);
      const { cgroups } = box.inspect();
      if (Object.keys(cgroups).length === 0) return;
      for (let i = 0; i < rounds(30); i++) expect((await box.stats()).memory?.usageBytes ?? 1).toBeGreaterThan(0);
    });
  });

  it('C-42 files that a lookup cannot end on are no trap', async () => {
    const traps = [
      'rm -f /tmp/e; mkfifo /tmp/e',
      'rm -f /tmp/e; ln -s /dev/zero /tmp/e',
      'rm -f /tmp/e; ln -s /tmp/e /tmp/e',
      'rm -f /tmp/e; truncate -s 8G /tmp/e',
      'rm -f /tmp/e; ln -s /proc/1/environ /tmp/e',
    ];
    const root = makeTempDir('root');
    await run('cp', ['-a', `${await rootfs()}/.`, root]);
    await run('chmod', ['755', root]);
    await run('rm', [path.join(root, 'etc/passwd')]);
    symlinkSync('/tmp/e', path.join(root, 'etc/passwd'));
    await cleanly(async () => {
      await using box = await runContainer({ rootfs: root, command: ['/bin/sleep', '60'], ...options });
      for (const trap of traps) {
        await box.exec(['/bin/sh', '-c', trap]).result();
        const outcome = await box
          .exec(['/bin/true'], { user: 'nobody-here' })
          .result()
          .catch((e: Error) => e.name);
        expect([trap, outcome]).toEqual([trap, expect.stringMatching(/Error$/)]);
      }
    });
  });

  it('C-19 no process of the host or of a sibling can be named', async () => {
    await cleanly(async () => {
      await using sibling = await runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '60'], ...options });
      const pids = [process.pid, process.ppid, sibling.pid];
      const calls = pids.flatMap((pid): Call[] => [
        ['ptrace', 16, pid, 0, 0], // ATTACH
        ['ptrace', 0x4206, pid, 0, 0], // SEIZE
        ['process_vm_readv', pid, IOVEC, 1, IOVEC, 1, 0],
        ['process_vm_writev', pid, IOVEC, 1, IOVEC, 1, 0],
        ['kcmp', pid, pid, 0, 0, 0],
        ['pidfd_open', pid, 0],
        ['kill', pid, 0],
        ['prlimit64', pid, 7, 0, 'z'],
        ['setpriority', 0, pid, 5],
        ['sched_setscheduler', pid, 0, 'z'],
      ]);
      for (const o of [options, { ...options, seccomp: 'unconfined' as const }])
        expect(unexpected(await answersInside(calls, o), 'ESRCH', 'EPERM', 'EINVAL')).toEqual({});
      const status = readFileSync(`/proc/${sibling.pid}/status`, 'utf8');
      expect(status).toMatch(/TracerPid:\s0/);
      const r = await inside('ls -d /proc/[0-9]* | wc -l', options);
      expect(Number(r.stdout)).toBeLessThan(5);
    });
  });
});
