// The oracle: one table of configurations runs through runContainer, runc, and where they can through crun and
// bubblewrap; a program inside prints what the kernel tells it, and all of them must print the same.
import './fixtures/store.js';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { type OciMount, type OciSpec, runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { busyboxRoot } from './fixtures/busybox-root.js';
import { run } from './fixtures/command.js';
import { ociConfig } from './fixtures/runc.js';

const n = need('linux', 'root', 'busybox', 'static-cc');
const runtimes = ['runc', 'crun'] as const;

interface Row {
  name: string;
  edit(oci: OciSpec): void;
  /** The facts that must be the same; mounts are 'mount:<point>'. */
  facts: string[];
  /** Why the peer of this name cannot be asked. */
  unasked?: Partial<Record<(typeof runtimes)[number], string>>;
  /** Said after the facts. */
  script?: string;
  /** The same in bubblewrap's words, for the facts that it can give. */
  bwrap?: { args: string[]; facts?: string[] };
}

const bind = (destination: string, source: string, ...options: string[]): OciMount => ({ destination, type: 'bind', source, options });
const tmpfs = (destination: string, ...options: string[]): OciMount => ({ destination, type: 'tmpfs', source: 'tmpfs', options });
const capabilities = (bounding: string[], others: string[]) => ({
  bounding,
  effective: others,
  permitted: others,
  inheritable: others,
  ambient: others,
});
const CAPS = ['effective', 'permitted', 'inheritable', 'bounding', 'ambient'];
const IDS = ['uid', 'gid', 'groups', 'umask'];

let rootfs = '';
let folder = '';

const ROWS: Row[] = [
  {
    name: 'ids, groups and umask',
    edit: (o) => Object.assign(o.process, { user: { uid: 1234, gid: 2345, additionalGids: [7, 8, 2345], umask: 0o027 } }),
    facts: [...IDS, 'cwd'],
  },
  {
    name: 'capabilities of root',
    edit: (o) => Object.assign(o.process, { capabilities: capabilities(['CAP_KILL', 'CAP_CHOWN'], ['CAP_KILL']) }),
    facts: CAPS,
  },
  {
    name: 'no capabilities, no_new_privs',
    edit: (o) => Object.assign(o.process, { capabilities: capabilities([], []), noNewPrivileges: true }),
    facts: [...CAPS, 'no_new_privs'],
    bwrap: { args: ['--cap-drop', 'ALL'], facts: ['effective', 'permitted', 'no_new_privs'] },
  },
  {
    name: 'ambient capabilities of an ordinary user',
    edit: (o) =>
      Object.assign(o.process, {
        user: { uid: 1000, gid: 1000 },
        capabilities: capabilities(['CAP_KILL', 'CAP_NET_BIND_SERVICE'], ['CAP_NET_BIND_SERVICE']),
        noNewPrivileges: false,
      }),
    facts: [...CAPS, 'no_new_privs'],
  },
  {
    name: 'resource limits and oom_score_adj',
    edit: (o) =>
      Object.assign(o.process, {
        oomScoreAdj: 777,
        rlimits: [
          { type: 'RLIMIT_NOFILE', soft: 100, hard: 200 },
          { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
          { type: 'RLIMIT_STACK', soft: 1 << 20, hard: 1 << 22 },
          { type: 'RLIMIT_NPROC', soft: 500, hard: 600 },
        ],
      }),
    facts: ['limit.nofile', 'limit.core', 'limit.stack', 'limit.nproc', 'oom_score_adj'],
  },
  {
    name: 'folder, host name, descriptors',
    edit: (o) => {
      o.process.cwd = '/etc';
      o.hostname = 'oracle';
    },
    facts: ['cwd', 'hostname', 'fds', 'tty'],
    bwrap: { args: ['--chdir', '/etc', '--hostname', 'oracle'], facts: ['cwd', 'hostname'] },
  },
  {
    name: 'sysctls',
    edit: (o) => {
      o.linux.sysctl = { 'net.ipv4.ip_forward': '1', 'kernel.shmmni': '99', 'kernel.msgmax': '4096' };
    },
    script: 'for f in net/ipv4/ip_forward kernel/shmmni kernel/msgmax; do echo "sysctl:$f $(cat /proc/sys/$f)"; done',
    facts: ['sysctl:net/ipv4/ip_forward', 'sysctl:kernel/shmmni', 'sysctl:kernel/msgmax'],
  },
  {
    name: 'flags of mounts',
    edit: (o) => {
      o.mounts.push(
        bind('/a', folder, 'bind', 'ro', 'nosuid', 'nodev', 'noexec'),
        bind('/b', folder, 'rbind', 'noatime', 'nodiratime'),
        bind('/c', folder, 'rbind', 'rro', 'rnosuid'),
        bind('/d', path.join(folder, 'file'), 'bind', 'ro'),
        // Without a mode: runc 1.1 takes that of the folder below.
        tmpfs('/e', 'size=64k', 'nosuid', 'noexec', 'nr_inodes=20'),
        tmpfs('/f', 'ro', 'nodev'),
      );
    },
    script: 'cat /d',
    facts: ['mount:/a', 'mount:/b', 'mount:/c', 'mount:/d', 'mount:/e', 'mount:/f', 'content'],
  },
  {
    name: 'words of mounts that take others back, and those of file systems',
    edit: (o) => {
      o.mounts.push(
        bind('/a', folder, 'bind', 'nosuid', 'nodev', 'noexec', 'ro', 'suid', 'dev', 'exec', 'rw', 'strictatime'),
        bind('/b', folder, 'bind', 'sync', 'dirsync', 'lazytime', 'iversion', 'noatime'),
        // runc 1.1 does not know 'defaults', 'silent', 'loud' and 'lazytime' for one.
        tmpfs('/c', 'mode=750', 'uid=7', 'nr_blocks=64', 'dirsync', 'sync', 'noatime', 'async'),
        { destination: '/e', type: 'ramfs', source: 'mine', options: ['nosuid', 'mode=700', 'ro'] },
        { destination: '/f', type: 'proc', source: 'proc', options: ['noexec', 'nodiratime', 'relatime'] },
      );
      const dev = o.mounts.find((m) => m.destination === '/dev');
      if (dev) dev.options = ['nosuid', 'noexec', 'ro', 'mode=751', 'size=1m'];
      const pts = o.mounts.find((m) => m.destination === '/dev/pts');
      if (pts) pts.options = ['nosuid', 'newinstance', 'ptmxmode=0600', 'mode=0600', 'gid=7'];
    },
    script:
      'touch /dev/x 2>&1 | sed "s/.*: /touched /"; cat /proc/self/mountinfo | sed -n "s/.* \\(\\/dev\\|\\/dev\\/pts\\|\\/c\\|\\/e\\) \\([^ ]*\\) .*- \\(.*\\)/super:\\1 \\2 \\3/p" | sed "s/,inode64//"; stat -c "folder:%n %a %u" /c /e /dev',
    facts: ['mount:/a', 'mount:/b', 'mount:/c', 'mount:/e', 'mount:/f', 'touched', 'super:/dev', 'super:/dev/pts', 'super:/c', 'super:/e'],
  },
  {
    name: 'read-only binds and a tmpfs, by bubblewrap too',
    edit: (o) => {
      o.mounts.push(bind('/a', folder, 'rbind', 'rro', 'rnosuid', 'rnodev'), tmpfs('/e', 'nosuid', 'nodev', 'mode=755'));
    },
    script: 'ls /a; touch /a/x 2>&1 | tail -n 1; touch /e/x; ls /e',
    facts: ['mount:/a', 'mount:/e', 'file', 'x'],
    bwrap: { args: ['--ro-bind', '$folder', '/a', '--tmpfs', '/e'] },
  },
  {
    name: 'propagation of mounts',
    edit: (o) => {
      o.mounts.push(
        bind('/a', folder, 'rbind', 'rshared'),
        bind('/b', folder, 'rbind', 'rprivate'),
        bind('/c', folder, 'bind', 'unbindable'),
      );
    },
    facts: ['mount:/a', 'mount:/b', 'mount:/c'],
    unasked: { crun: 'crun 1.8 makes all mounts private in the end, whatever they were asked to be' },
  },
  // runc 1.1 leaves / private with 'shared', and fails with 'unbindable': those are in the tests of the kernel's own words.
  ...(['rslave', 'private'] as const).map(
    (rootfsPropagation): Row => ({
      name: `a root that is ${rootfsPropagation}`,
      edit: (o) => Object.assign(o.linux, { rootfsPropagation }),
      facts: ['peers:/'],
    }),
  ),
  {
    name: 'a tmpfs that begins with what is there, and a remount',
    edit: (o) => {
      o.mounts.push(tmpfs('/etc', 'tmpcopyup'), tmpfs('/e', 'size=1m'), {
        destination: '/e',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['remount', 'ro', 'size=1m'],
      });
    },
    script: 'ls /etc; touch /etc/x && echo "writable yes"',
    facts: ['passwd', 'group', 'writable', 'mount:/e'],
  },
  {
    name: 'masked and read-only paths, a read-only root',
    edit: (o) => {
      o.root.readonly = true;
      o.linux.maskedPaths = ['/proc/meminfo', '/etc', '/proc/not-there'];
      o.linux.readonlyPaths = ['/proc/sys', '/bin'];
    },
    script:
      'echo "size $(cat /proc/meminfo | wc -c) $(ls /etc | wc -l)"; (touch /x; touch /bin/x; echo x >/proc/sys/kernel/hostname) 2>&1 | sed "s/.*: /error /"',
    facts: ['size', 'error', 'mount:/bin'],
  },
  {
    name: 'devices',
    edit: (o) => {
      o.linux.devices = [
        { path: '/dev/mine', type: 'c', major: 1, minor: 5, fileMode: 0o640, uid: 5, gid: 6 },
        { path: '/dev/pipe', type: 'p', fileMode: 0o600 },
      ];
    },
    script:
      'cd /dev; for f in null zero full random urandom tty mine pipe; do stat -c "dev:%n %F %t:%T %a %u %g" $f; done; for l in fd stdin ptmx; do echo "link:$l $(readlink $l)"; done',
    facts: [
      'dev:null',
      'dev:zero',
      'dev:full',
      'dev:random',
      'dev:urandom',
      'dev:tty',
      'dev:mine',
      'dev:pipe',
      'link:fd',
      'link:stdin',
      'link:ptmx',
    ],
  },
  {
    name: 'a target through a link that leads nowhere yet',
    edit: (o) => {
      o.mounts.push(tmpfs('/dangling/a'), tmpfs('/etc/relative/b'));
    },
    facts: ['mount:/not/there/a', 'mount:/late/b'],
  },
];

const MOUNTS =
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own.
  'while read a b c d point o rest; do tags="${rest%%- *}"; case $point in /[a-f]|/bin|/not/*|/late/*) echo "mount:$point $o $tags";; /) echo "peers:/ $tags";; esac; done </proc/self/mountinfo';
const lineFor = (row: Row): string => `/facts; ${MOUNTS}; ${row.script ?? 'true'}; true`;

/** Each fact by its word; numbers of peer groups and the master that only a host's mount may have are left out. */
const factsOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    text.split(/\r?\n/).map((line) => {
      const at = `${line} `.indexOf(' ');
      return [
        line.slice(0, at),
        line
          .slice(at + 1)
          .replace(/(shared|master|propagate_from):\d+/g, '$1')
          .trim(),
      ];
    }),
  );

const pick = (facts: Record<string, string>, keys: readonly string[]): Record<string, string | undefined> =>
  Object.fromEntries(keys.map((k) => [k, facts[k]]));

const command = (row: Row): string[] => ['sh', '-c', lineFor(row)];
const PATH = 'PATH=/bin:/usr/bin';

async function ours(row: Row): Promise<Record<string, string>> {
  const result = await runContainer({
    rootfs,
    command: command(row),
    env: { PATH: '/bin:/usr/bin' },
    seccomp: 'unconfined',
    // As the peers' containers have it.
    ...(process.getuid?.() === 0 ? { userns: 'host' as const } : {}),
    spec: (oci) => {
      row.edit(oci);
      return oci;
    },
  }).result();
  expect(result.stderr.replace(/^(touch|sh): .*$/gm, '').trim()).toBe('');
  return factsOf(result.stdout);
}

/**
 * In a tree of mounts that is nobody's peer, which it is not where systemd made it shared: what runc and bubblewrap bind is a slave of the host's
 * then, unless it is told otherwise. Ours is private, as it is in Docker, which tells runc so.
 */
const apart = (program: string, args: readonly string[]) =>
  run('unshare', ['--mount', '--propagation', 'private', host.program(program), ...args]);

let serial = 0;

async function theirs(runtime: string, row: Row): Promise<Record<string, string>> {
  const bundle = makeTempDir('oracle');
  const config = ociConfig({ rootfs, args: command(row), env: [PATH] }) as unknown as OciSpec;
  row.edit(config);
  mkdirSync(path.join(bundle, 'state'));
  writeFileSync(path.join(bundle, 'config.json'), JSON.stringify(config));
  const id = `oracle-${process.pid}-${serial++}`;
  const done = await apart(runtime, ['--root', path.join(bundle, 'state'), 'run', '--bundle', bundle, id]);
  if (done.exitCode !== 0) throw new Error(`${runtime}: ${done.exitCode}: ${done.stderr}`);
  return factsOf(done.stdout);
}

async function bubblewrap(row: Row): Promise<Record<string, string>> {
  const own = (row.bwrap?.args ?? []).map((a) => (a === '$folder' ? folder : a));
  const base = ['--unshare-all', '--clearenv', '--setenv', 'PATH', '/bin', '--bind', rootfs, '/', '--proc', '/proc', '--dev', '/dev'];
  const done = await apart('bwrap', [...base, ...own, ...command(row)]);
  if (done.exitCode !== 0) throw new Error(`bwrap: ${done.exitCode}: ${done.stderr}`);
  return factsOf(done.stdout);
}

function buildFacts(target: string): void {
  const source = fileURLToPath(new URL('../packages/namespaces/test/facts.c', import.meta.url));
  const built = spawnSync('cc', ['-static', '-O1', '-o', target, source], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(built.stderr);
}

/** Runs nothing but `true`: crun refuses hybrid control groups, an outer container may forbid bubblewrap. */
function works(runtime: string): boolean {
  const bundle = makeTempDir('oracle-probe');
  mkdirSync(path.join(bundle, 'state'));
  const busybox = path.join(bundle, 'root/bin');
  mkdirSync(busybox, { recursive: true });
  copyFileSync(host.program('busybox'), path.join(busybox, 'true'));
  writeFileSync(path.join(bundle, 'config.json'), JSON.stringify(ociConfig({ rootfs: path.join(bundle, 'root'), args: ['/bin/true'] })));
  const args = ['--root', path.join(bundle, 'state'), 'run', '--bundle', bundle, `oracle-probe-${process.pid}`];
  return spawnSync(host.program(runtime), args, { stdio: 'ignore', timeout: 20_000 }).status === 0;
}
for (const runtime of runtimes)
  host.define(`${runtime}-works`, { test: () => works(runtime), cure: `a host on which ${runtime} runs, with the cgroups it knows` });

describe.skipIf(!n.ok)(n.title('the oracle'), () => {
  beforeAll(async () => {
    rootfs = await busyboxRoot();
    buildFacts(path.join(rootfs, 'facts'));
    for (const applet of ['sed', 'tail', 'wc', 'readlink', 'stat', 'touch', 'ls', 'cat']) {
      try {
        symlinkSync('busybox', path.join(rootfs, 'bin', applet));
      } catch {
        // It is there already.
      }
    }
    symlinkSync('/not/there', path.join(rootfs, 'dangling'));
    symlinkSync('../../late', path.join(rootfs, 'etc/relative'));
    folder = makeTempDir('oracle-folder');
    chmodSync(folder, 0o755);
    writeFileSync(path.join(folder, 'file'), 'content of a file\n');
    for (const d of 'abcef') mkdirSync(path.join(rootfs, d), { recursive: true });
  });

  describe.each(runtimes)('%s', (runtime) => {
    const can = need(runtime, `${runtime}-works`);
    for (const { name, unasked } of ROWS) if (unasked?.[runtime]) it.skip(`${name} [skipped: ${unasked[runtime]}]`);
    it.skipIf(!can.ok).each(ROWS.filter((row) => row.unasked?.[runtime] === undefined))(can.title('$name'), async (row) => {
      const [a, b] = await Promise.all([ours(row), theirs(runtime, row)]);
      expect(pick(a, row.facts)).toEqual(pick(b, row.facts));
      // What nobody says would be the same, too.
      expect(Object.keys(a)).toEqual(expect.arrayContaining(row.facts));
    });
  });

  const can = need('bwrap');
  it.skipIf(!can.ok).each(ROWS.filter((r) => r.bwrap))(can.title('bubblewrap: $name'), async (row) => {
    const facts = row.bwrap?.facts ?? row.facts;
    const [a, b] = await Promise.all([ours(row), bubblewrap(row)]);
    expect(pick(a, facts)).toEqual(pick(b, facts));
  });
});
