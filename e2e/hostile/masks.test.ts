// Malicious processes: around the masks, the read-only parts and the targets of mounts (CVE-2025-31133, CVE-2025-52565,
// CVE-2025-52881, CVE-2021-30465, CVE-2024-23652, CVE-2022-0492).
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { explain, runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { base, cleanly, firstWords, inside, newRoot, patience, rootfs, rounds, SOON, WAYS } from './fixtures/hostile.js';

const limits = need('cgroup:pids');
/** What a container that controls the host would change first. */
const HOST = [
  'kernel/core_pattern',
  'kernel/modprobe',
  'kernel/hostname',
  'kernel/sysrq',
  'vm/overcommit_memory',
  'kernel/randomize_va_space',
];
const hostValues = (): string[] => HOST.map((f) => `/proc/sys/${f}`).map((f) => (existsSync(f) ? readFileSync(f, 'utf8') : 'none'));

beforeAll(async () => {
  if (base.ok) await rootfs();
});

describe.skipIf(!base.ok).each(WAYS)(base.title('the walls, for $way'), ({ options }) => {
  /** As strong as the container can be made without a namespace of the host: every wall must stand without the filter too. */
  const strong = { ...options, seccomp: 'unconfined' as const };

  it('C-07 no file of /proc and /sys that is not of a process can be opened for writing', async () => {
    // Root may open what has no write bit, and the kernel then has nothing to do with what is written.
    const script = `find /proc /sys -path '/proc/[0-9]*' -prune -o -type f -perm /222 -print 2>/dev/null |
      while read -r f; do true 2>/dev/null >> "$f" && echo "$f"; done; true`;
    const r = await cleanly(() => inside(script, strong));
    const files = r.stdout.trim().split('\n').filter(Boolean);
    // Those of the own namespaces, and a question about pressure, which is answered to those who ask by a file of their own.
    expect(files.filter((f) => !/^\/proc\/pressure\/|^\/proc\/(self|thread-self)\//.test(f))).toEqual([]);
  }, 60_000);

  it('C-07 masks and read-only paths resist being read, written, renamed, unmounted, covered and moved', async () => {
    const { oci } = await explain({ rootfs: await rootfs(), command: ['true'], ...options });
    const masked = oci.linux.maskedPaths ?? [];
    const readonly = oci.linux.readonlyPaths ?? [];
    expect([masked.length > 15, readonly.length > 3]).toEqual([true, true]);
    const before = hostValues();
    const script = `
      for p in ${masked.join(' ')}; do
        [ -e $p ] || continue
        if [ -d $p ]; then [ -z "$(ls -A $p)" ] || echo "shows $p"; else [ -z "$(head -c 1 $p 2>/dev/null)" ] || echo "shows $p"; fi
      done
      for p in ${[...masked, ...readonly].join(' ')}; do
        [ -e $p ] || continue
        umount $p 2>/dev/null && echo "unmounted $p"
        umount -l $p 2>/dev/null && echo "unmounted $p"
        mount -o remount,rw,bind $p 2>/dev/null && echo "remounted $p"
        mount -t tmpfs none $p 2>/dev/null && echo "covered $p"
        mount --move $p /mnt 2>/dev/null && echo "moved $p"
        mv $p $p.x 2>/dev/null && echo "renamed $p"
        rm -rf $p 2>/dev/null; [ -e $p ] || echo "removed $p"
        [ -c $p ] || { touch $p/x 2>/dev/null && [ ! -c $p ] && [ -d $p ] && echo "wrote into $p"; }
      done
      umount -l /proc 2>/dev/null && echo "unmounted /proc"
      mount -o remount,rw /sys 2>/dev/null && echo "remounted /sys"
      for f in sysrq-trigger sys/kernel/core_pattern sys/kernel/modprobe sys/kernel/sysrq; do (echo x > /proc/$f) 2>/dev/null && echo "wrote $f"; done
      (echo x > /sys/kernel/uevent_helper) 2>/dev/null && echo "wrote uevent_helper"
      true`;
    for (const o of [options, strong]) {
      const r = await cleanly(() => inside(script, o));
      expect(r.stdout).toBe('');
      expect(r.exitCode).toBe(0);
    }
    expect(hostValues()).toEqual(before);
  });

  it('C-08 a /dev/null and a /dev of the image that lead to the kernel’s files are not what masks', async () => {
    const before = hostValues();
    const nulled = await newRoot();
    symlinkSync('/proc/sys/kernel/core_pattern', path.join(nulled, 'dev/null'));
    const r = await cleanly(() =>
      runContainer({
        rootfs: nulled,
        command: ['/bin/sh', '-c', 'echo evil > /dev/null; ls -l /dev/null; head -c 3 /proc/kcore'],
        ...strong,
      }).result(),
    );
    expect(r.stdout).toMatch(/^crw-rw-rw-.* 1, +3 .*\/dev\/null\n$/);

    for (const [name, to] of [
      ['dev', '/proc/sys/kernel'],
      ['proc', '/tmp'],
      ['sys', '/proc'],
      ['dev', 'proc/self/attr'],
    ] as const) {
      const linked = await newRoot();
      rmdirSync(path.join(linked, name));
      symlinkSync(to, path.join(linked, name));
      const failed = await cleanly(() =>
        runContainer({ rootfs: linked, command: ['/bin/true'], ...options })
          .result()
          .catch((e: Error) => e.name),
      );
      expect([name, to, failed]).toEqual([name, to, 'StartError']);
    }
    expect(hostValues()).toEqual(before);
  });

  it(
    'C-08 nor when another container swaps them in a shared folder meanwhile',
    async () => {
      const before = hostValues();
      const shared = sharedFolder();
      mkdirSync(path.join(shared, 'dev'));
      writeFileSync(path.join(shared, 'dev/null'), '');
      symlinkSync('/proc/sys/kernel/core_pattern', path.join(shared, 'dev/evil'));
      await cleanly(async () => {
        await using flipper = await flip(shared, 'dev/null', 'dev/evil');
        for (let i = 0; i < rounds(20); i++) {
          const mounts = [{ type: 'bind' as const, source: path.join(shared, 'dev'), target: '/vol/dev' }];
          // A mask on a path of the volume, whose kind is looked up inside.
          const o = { ...strong, mounts, maskedPaths: ['/proc/kcore', '/vol/dev/null', '/proc/sysrq-trigger'] };
          const outcome = await inside(
            'head -c 1 /proc/kcore; head -c 1 /proc/sysrq-trigger; cat /proc/sys/kernel/core_pattern | head -c 1 | wc -c',
            o,
          ).then(
            (r) => r.stdout.trim(),
            (e: Error) => e.name,
          );
          expect(['1', 'StartError']).toContain(outcome);
        }
        expect(flipper.exitStatus).toBeUndefined();
      });
      expect(hostValues()).toEqual(before);
    },
    patience(60_000),
  );

  it('C-09 terminals of the image that lead elsewhere are not used: /dev/pts and /dev/ptmx are the container’s own', async () => {
    const root = await newRoot();
    mkdirSync(path.join(root, 'dev/pts'));
    for (const [file, to] of [
      ['pts/0', '/proc/sys/kernel/core_pattern'],
      ['console', '/proc/sysrq-trigger'],
      ['ptmx', '/proc/sys/kernel/modprobe'],
    ] as const)
      symlinkSync(to, path.join(root, 'dev', file));
    const r = await cleanly(() =>
      runContainer({
        rootfs: root,
        command: ['/bin/sh', '-c', 'readlink /dev/ptmx; ls /dev/pts; ls -l /dev/console 2>&1 | grep -c sysrq; true'],
        ...options,
      }).result(),
    );
    expect(r.stdout).toBe('pts/ptmx\nptmx\n0\n');
    const before = hostValues();
    const terminal = await cleanly(() =>
      runContainer({
        rootfs: root,
        command: ['/bin/sh', '-c', 'tty; stat -c "%F %t" /dev/console /dev/pts/0; echo said > /dev/console; readlink /dev/console'],
        tty: true,
        ...options,
      }).result(),
    );
    // 136 is the major number of the other ends of terminals.
    const device = `character special file ${(136).toString(16)}`;
    expect(terminal.stdout.split('\r\n')).toEqual(['/dev/pts/0', device, device, 'said', '']);
    expect(hostValues()).toEqual(before);
  });

  it(
    'C-10 a target that another container swaps for a link to / never shows the host',
    async () => {
      const shared = sharedFolder();
      const canary = makeTempDir('canary');
      writeFileSync(path.join(canary, 'is-host'), 'host');
      mkdirSync(path.join(shared, 'a/target'), { recursive: true });
      symlinkSync('/', path.join(shared, 'b'));
      const data = makeTempDir('data');
      writeFileSync(path.join(data, 'mine'), '');
      const outcomes = new Set<string>();
      await cleanly(async () => {
        await using flipper = await flip(shared, 'a', 'b');
        for (let i = 0, end = performance.now() + SOON; i < rounds(40) || (!outcomes.has('0') && performance.now() < end); i++) {
          const mounts = [
            { type: 'bind' as const, source: shared, target: '/vol' },
            { type: 'bind' as const, source: data, target: '/vol/a/target' },
          ];
          outcomes.add(
            await inside(
              `ls -d ${canary} ${process.cwd()} 2>/dev/null; grep -c ' /.* ${process.cwd()}' /proc/self/mountinfo; find / -xdev -name is-host 2>/dev/null`,
              { ...options, mounts },
            ).then(
              (r) => r.stdout.trim(),
              (e: Error) => e.name,
            ),
          );
        }
        expect(flipper.exitStatus).toBeUndefined();
      });
      expect([...outcomes].filter((o) => !['0', 'StartError'].includes(o))).toEqual([]);
      expect(outcomes.has('0')).toBe(true);
      expect(readdirSync(canary)).toEqual(['is-host']);
    },
    patience(60_000),
  );

  it('C-11 a /proc of the caller’s or of a volume is not what the launcher writes to or trusts', async () => {
    const root = await newRoot();
    const fake = path.join(root, 'proc');
    symlinkSync('/proc', path.join(root, 'vol'));
    for (const file of ['self/attr/exec', 'self/attr/current', 'self/oom_score_adj', 'sys/kernel/core_pattern', 'kcore', 'sysrq-trigger']) {
      mkdirSync(path.dirname(path.join(fake, file)), { recursive: true });
      writeFileSync(path.join(fake, file), 'fake\n', { mode: 0o666 });
    }
    const mounts = (target: string) => [{ type: 'bind' as const, source: path.join(fake, 'self'), target }];
    await cleanly(async () => {
      await expect(inside('true', { ...options, mounts: mounts('/proc') })).rejects.toThrow('mounts[0].target');
      await expect(inside('true', { ...options, mounts: mounts('/proc/self') })).rejects.toThrow('mounts[0].target');
      await using box = await runContainer({
        rootfs: root,
        command: ['/bin/sleep', '60'],
        oomScoreAdj: 500,
        mounts: mounts('/vol/sys'),
        ...options,
      });
      expect(readFileSync(`/proc/${box.pid}/oom_score_adj`, 'utf8').trim()).toBe('500');
      expect(readFileSync(`/proc/${box.pid}/status`, 'utf8')).toMatch(/NoNewPrivs:\s1[\s\S]*Seccomp:\s2/);
    });
    expect(readFileSync(path.join(fake, 'self/oom_score_adj'), 'utf8')).toBe('fake\n');
  });

  it('C-27 nothing of the control groups can be written, moved out of or mounted', async () => {
    const script = `
      find /sys/fs/cgroup 2>/dev/null -type f | while read -r f; do true 2>/dev/null >> "$f" && echo "opened $f"; done
      mkdir /sys/fs/cgroup/x 2>/dev/null && echo made
      for t in cgroup cgroup2; do mkdir -p /tmp/$t; mount -t $t -o rw $t /tmp/$t 2>/dev/null && echo "mounted $t"; done
      mount -t cgroup -o memory m /tmp/cgroup 2>/dev/null && echo "mounted memory"
      (echo /evil > /sys/fs/cgroup/release_agent) 2>/dev/null && echo "release_agent"
      true`;
    for (const o of [options, strong]) expect((await cleanly(() => inside(script, o))).stdout).toBe('');
  });

  it.skipIf(!limits.ok)(limits.title('C-27 limits hold for one who tries to leave his group'), async () => {
    const script =
      'for f in $(find / -name cgroup.procs -o -name tasks 2>/dev/null | grep -v "^/proc/[0-9]*/task"); do (echo $$ > $f) 2>/dev/null && echo "left by $f"; done; exec /inside/forkloop 100';
    const r = await cleanly(() => inside(script, { ...strong, resources: { pids: 20 } }));
    expect(r.stdout.trim().split('\n').at(-1)).toMatch(/"error":\s*"EAGAIN"/);
    expect(r.stdout).not.toContain('left by');
  });

  it('C-40 a read-only root and read-only folders cannot be written by any door', async () => {
    const folder = sharedFolder();
    writeFileSync(path.join(folder, 'file'), 'host\n', { mode: 0o666 });
    mkdirSync(path.join(folder, 'sub'));
    const script = `
      for d in / /ro /ro/sub /proc/self/root /proc/self/root/ro /proc/1/root/ro; do
        mount -o remount,rw $d 2>/dev/null && echo "remounted $d"
        mount -o remount,rw,bind $d 2>/dev/null && echo "remounted $d"
        touch $d/new 2>/dev/null && echo "wrote $d"
        mkdir $d/dir 2>/dev/null && echo "made $d"
      done
      (echo x >> /ro/file) 2>/dev/null && echo "appended"
      ln /ro/file /tmp/hard 2>/dev/null && echo "linked"
      ln /ro/file /ro/sub/hard 2>/dev/null && echo "linked"
      mv /ro/file /tmp/out 2>/dev/null && [ ! -e /ro/file ] && echo "moved"
      chmod 777 /ro/file 2>/dev/null && echo "changed"
      rm -f /ro/file 2>/dev/null && [ ! -e /ro/file ] && echo "removed"
      exec 3</ro/file; (echo x > /proc/self/fd/3) 2>/dev/null && echo "wrote by descriptor"
      touch -d 2001-01-01 /ro/file 2>/dev/null && echo "touched"
      truncate -s 0 /ro/file 2>/dev/null && echo "truncated"
      true`;
    for (const o of [options, strong]) {
      const r = await cleanly(() =>
        inside(script, { ...o, readOnly: true, mounts: [{ type: 'bind', source: folder, target: '/ro', readOnly: true }] }),
      );
      expect(r.stdout).toBe('');
    }
    // open(2) for writing, mmap(2) shared and writable, open_tree(2) and mount_setattr(2): C-14 has the mount calls.
    expect([readFileSync(path.join(folder, 'file'), 'utf8'), readdirSync(folder).sort()]).toEqual(['host\n', ['file', 'sub']]);
  });

  it('C-52 a missing target that becomes a link is no way to the host when the container ends', async () => {
    const shared = sharedFolder();
    const canary = sharedFolder();
    writeFileSync(path.join(canary, 'precious'), 'host');
    mkdirSync(path.join(canary, 'stub'));
    const data = makeTempDir('data');
    const mounts = [
      { type: 'bind' as const, source: shared, target: '/vol' },
      { type: 'bind' as const, source: data, target: '/vol/made/stub' },
    ];
    await cleanly(() =>
      inside(`mv /vol/made /vol/moved 2>/dev/null; ln -s ${canary} /vol/made; ln -s ${canary} /vol/moved/stub2; true`, {
        ...options,
        mounts,
      }),
    );
    expect([readdirSync(canary).sort(), readFileSync(path.join(canary, 'precious'), 'utf8')]).toEqual([['precious', 'stub'], 'host']);
  });

  /** A folder that the container's root may write to, whoever that is outside. */
  function sharedFolder(): string {
    const folder = makeTempDir('shared');
    chmodSync(folder, 0o777);
    return folder;
  }

  /** A container that swaps two names in the folder until it is disposed of. */
  async function flip(folder: string, a: string, b: string) {
    openUp(folder);
    const flipper = await runContainer({
      rootfs: await rootfs(),
      command: ['/inside/flip', `/vol/${a}`, `/vol/${b}`],
      mounts: [{ type: 'bind', source: folder, target: '/vol' }],
      ...options,
    });
    await firstWords(flipper);
    return flipper;
  }
});

/** The names in it may be swapped by anybody. */
function openUp(folder: string): void {
  for (const e of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (!e.isDirectory()) continue;
    chmodSync(path.join(e.parentPath, e.name), 0o777);
  }
}
