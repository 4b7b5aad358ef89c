// The promise: the examples run as they stand, and the demonstration of `npm start` shows what it says.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { host, leakCheck, makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Registry, startRegistry } from './fixtures/registry.js';

const n = need('linux', 'userns', 'overlay-in-userns');
const examples = fileURLToPath(new URL('../examples/', import.meta.url));
const before = leakCheck();

/** With a store and a run root of its own, so that nothing of this user's is touched. */
async function run(name: string, ...args: string[]): Promise<{ code: number | null; out: string }> {
  const dir = makeTempDir('example');
  const child = spawn(process.execPath, [`${examples}${name}/index.mjs`, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', CTR_ROOT: `${dir}/store`, CTR_RUN: `${dir}/run`, NO_COLOR: '1' },
  });
  let out = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    out += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, out };
}

/** What a program in a sandbox can tell of it; the same command line for both. Of /dev, bwrap has a link `core`, we have mqueue. */
const FACTS = [
  'id -u; id -g; hostname; ls /; pwd',
  "sed -E 's/^ *([0-9]+) +[0-9]+ +/\\1 /' /proc/self/uid_map; grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs)' /proc/self/status",
  'ls /sys/class/net 2>/dev/null; cat /proc/net/dev | wc -l; ls /dev | grep -v -E "^(core|mqueue)$"; stat -c "%a %F" /tmp /dev/null; env | sort | grep -v -E "^(_|PWD|OLDPWD|SHLVL)="',
  'touch /usr/x 2>&1; touch /tmp/x && ls /tmp; unshare -U true 2>&1 || echo no user namespace',
].join('; ');
const ROOT = '--ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin --symlink usr/sbin /sbin';
const SANDBOXES = [
  `${ROOT} --proc /proc --dev /dev --tmpfs /tmp --dir /var/empty --unshare-all --hostname box --clearenv --setenv PATH /usr/bin`,
  `${ROOT} --proc /proc --dev /dev --perms 0700 --tmpfs /tmp --unshare-all --unshare-user --uid 1000 --gid 1001 --disable-userns --chdir /tmp --clearenv --setenv A b --setenv PATH /bin`,
  '--ro-bind / / --proc /proc --dev /dev --tmpfs /tmp --unshare-user --unshare-net --unshare-pid --chdir / --clearenv --setenv PATH /usr/bin:/bin',
];

describe.skipIf(!n.ok)(n.title('the examples'), () => {
  afterAll(async () => {
    await before.assertClean({ withinMs: 3000 });
  });

  it.each(['hello', 'custom-tool', 'limits'])(
    '%s runs',
    async (name) => {
      const r = await run(name);
      expect([r.code, r.out]).toEqual([0, expect.stringMatching(/\S/)]);
    },
    60_000,
  );

  it('top shows control groups that work, and leaves none', async () => {
    const r = await run('top', '--demo');
    const limited = host.can('cgroup:cpu', 'cgroup:memory', 'cgroup:pids');
    expect([r.code, r.out]).toEqual([0, expect.stringMatching(limited ? /top-\d+\/spinner +\d+\.\d%/ : /\S/)]);
  }, 60_000);

  it('sandbox is under 150 lines', () => {
    expect(readFileSync(`${examples}sandbox/index.mjs`, 'utf8').split('\n').length).toBeLessThan(150);
  });

  it.skipIf(!host.can('bwrap')).each(SANDBOXES)(
    'sandbox makes what bwrap makes of %s',
    async (line) => {
      const args = [...line.split(' '), '--', 'sh', '-c', FACTS];
      const bwrap = spawnSync('bwrap', ['--cap-drop', 'ALL', '--as-pid-1', ...args], { encoding: 'utf8' });
      const ours = await run('sandbox', ...args);
      expect(ours).toEqual({ code: bwrap.status, out: bwrap.stdout + bwrap.stderr });
    },
    60_000,
  );

  it('sandbox passes exit codes on, and says what it does not know', async () => {
    const root = ['--ro-bind', '/', '/'];
    expect((await run('sandbox', ...root, 'sh', '-c', 'exit 7')).code).toBe(7);
    expect((await run('sandbox', ...root, 'sh', '-c', 'kill -9 $$')).code).toBe(137);
    expect(await run('sandbox', '--nope')).toEqual({ code: 1, out: 'sandbox: unknown option --nope\n' });
    expect((await run('sandbox', ...root, '/nowhere')).out).toMatch(/^sandbox: start \/nowhere: .*ENOENT/);
  }, 60_000);

  it('the demonstration shows a container from the inside and the outside, and leaves nothing', async () => {
    const r = await run('demo');
    expect([r.code, r.out]).toEqual([0, expect.stringContaining('inside it is PID 1')]);
    expect(r.out).toContain('0 processes, 0 mounts');
  }, 120_000);

  it('the demonstration runs a program of the machine’s own tree', async () => {
    const r = await run('demo', 'host', 'uname', '-s');
    expect([r.code, r.out]).toEqual([0, expect.stringContaining('Linux')]);
  }, 60_000);
});

const r = need('linux', 'registry');
describe.skipIf(!r.ok)(r.title('the examples about images'), () => {
  let registry: Registry;
  beforeAll(async () => {
    registry = await startRegistry();
  });
  afterAll(() => registry?.stop());

  it('push makes images that pull, inspect and dive then show', async () => {
    const folder = makeTempDir('folder');
    mkdirSync(`${folder}/bin`);
    writeFileSync(`${folder}/bin/tool`, 'x'.repeat(2_000_000));
    const [base, app] = [`${registry.address}/base:1`, `${registry.address}/app:1`];
    expect(await run('push', folder, base, '--command=/bin/tool')).toEqual({
      code: 0,
      out: expect.stringMatching(/base:1@sha256:[0-9a-f]{64}\n1 layers: 2 blobs sent/),
    });
    writeFileSync(`${folder}/bin/tool`, 'y');
    expect(await run('push', folder, app, `--base=${base}`)).toEqual({
      code: 0,
      out: expect.stringMatching(/2 layers: 2 blobs sent .* 1 mounted/),
    });
    expect(await run('pull', app)).toEqual({ code: 0, out: expect.stringMatching(/█{30}.*MB {2}done\n(.*\n)*.*app:1\nsha256:.*2 layers/) });
    const seen = await run('inspect', app);
    expect([seen.code, seen.out]).toEqual([0, expect.stringContaining('command      /bin/tool')]);
    expect(seen.out).toContain('tags         1');
    const dive = await run('dive', app);
    expect([dive.code, dive.out]).toEqual([0, expect.stringContaining('0 added, 1 changed, 0 removed')]);
    expect(dive.out).toContain('2.00 MB lie hidden');
  }, 120_000);

  it('pull says what is wrong, and ends with 1', async () => {
    expect(await run('pull', `${registry.address}/nothing:1`)).toEqual({ code: 1, out: expect.stringContaining('404') });
  }, 60_000);
});
