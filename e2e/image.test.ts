// The promise: a real image from a real registry runs under real limits; what is there already is not fetched again.
// The registry is Debian's docker-registry, the image was made by mmdebstrap and umoci and pushed by skopeo.
import './fixtures/store.js';
import path from 'node:path';
import { ImageStore, type PullProgress } from '@ctr/image';
import { makeTempDir, need } from '@ctr/internal/testing';
import { runContainer } from '@ctr/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from './fixtures/command.js';
import { debianPython, TAG } from './fixtures/debian-python.js';
import { type Registry, startRegistry } from './fixtures/registry.js';
import { runc } from './fixtures/runc.js';

const n = need('linux', 'userns', 'overlay-in-userns', 'registry', 'skopeo', 'debian-python');
const memory = need('cgroup:memory');
const oracle = need('root', 'runc', 'umoci', 'cgroup:memory');

/** The line of the promise: 200 MB under a limit of 100 MB. */
const GREEDY = ['python3', '-c', 'a = bytearray(200*1024*1024)'];
const MEMORY = 100 << 20;

let registry: Registry;
let layout = '';
let image = '';

const bodies = (): string[] => registry.requests.filter((r) => r.method === 'GET' && r.url.includes('/blobs/')).map((r) => r.url);

describe.skipIf(!n.ok)(n.title('a Debian image with python from a registry'), () => {
  beforeAll(async () => {
    layout = await debianPython();
    registry = await startRegistry();
    await registry.push(layout, TAG, 'debian');
    image = `${registry.address}/debian:${TAG}`;
  }, 600_000);

  afterAll(async () => {
    await registry?.stop();
  });

  it('is pulled and run by one call, with progress', async () => {
    const seen: PullProgress[] = [];
    const r = await runContainer(
      image,
      ['python3', '-c', 'import sys; print(sys.version_info[0], open("/etc/os-release").readline().strip())'],
      {
        onProgress: (p) => seen.push(p),
      },
    ).result();
    expect(r.stderr).toBe('');
    expect(r.stdout).toMatch(/^3 .*Debian GNU\/Linux 12/);
    expect(seen.length).toBeGreaterThan(0);
    // config and three layers, each once
    expect(new Set(bodies()).size).toBe(4);
    expect(bodies().length).toBe(4);
  });

  it('is fetched only once: the second run asks the registry nothing', async () => {
    const before = registry.requests.length;
    expect((await runContainer(image, ['python3', '-c', 'print(6*7)']).text()).trimEnd()).toBe('42');
    expect(registry.requests.length).toBe(before);
  });

  it('is asked for again with pull: "always", but its layers are not fetched', async () => {
    const before = bodies().length;
    const asked = registry.requests.length;
    await runContainer(image, ['true'], { pull: 'always' }).result();
    expect(registry.requests.length).toBeGreaterThan(asked);
    expect(bodies().length).toBe(before);
  });

  it('has its own command, environment and working directory', async () => {
    expect((await runContainer(image).text()).trimEnd()).toBe('hello from python 3');
    const r = await runContainer(image, ['python3', '-c', 'import os; print(os.environ["APP"], os.getcwd())']).result();
    expect(r.stdout).toBe('yes /app\n');
  });

  it('has its layers stacked: whiteouts hide, links and modes hold', async () => {
    const script = [
      'import os, json, stat',
      's = lambda p: os.stat("/app/" + p)',
      'print(json.dumps({"gone": os.path.exists("/etc/debian_version"), "doc": os.listdir("/usr/share/doc"), "nlink": s("hard.py").st_nlink,',
      '  "same": os.path.samefile("/app/hard.py", "/app/hello.py"), "link": os.readlink("/app/link.py"), "setuid": oct(stat.S_IMODE(s("setuid").st_mode)),',
      '  "secret": oct(stat.S_IMODE(os.stat("/app/own/secret").st_mode)), "debris": [f for d in ("/etc", "/usr/share/doc") for f in os.listdir(d) if f.startswith(".wh.")]}))',
    ].join('\n');
    expect(await runContainer(image, ['python3', '-c', script]).json()).toEqual({
      gone: false,
      doc: ['only-this'],
      nlink: 2,
      same: true,
      link: 'hello.py',
      setuid: '0o4755',
      secret: '0o600',
      debris: [],
    });
  });

  it.skipIf(!memory.ok)(memory.title('is killed when it takes 200 MB under 100 MB, and says so'), async () => {
    const r = await runContainer(image, GREEDY, { resources: { memory: '100m' } }).result();
    expect([r.ok, r.exitCode, r.signal, r.reason, r.oomKilled]).toEqual([false, null, 'SIGKILL', 'oom', true]);
  });

  it.skipIf(!memory.ok)(memory.title('is not killed when it takes 20 MB under 100 MB'), async () => {
    const r = await runContainer(image, ['python3', '-c', 'a = bytearray(20*1024*1024); print(len(a))'], {
      resources: { memory: MEMORY },
    }).result();
    expect([r.exitCode, r.reason, r.oomKilled, r.stdout]).toEqual([0, 'exited', false, '20971520\n']);
  });

  it.skipIf(!oracle.ok)(
    oracle.title('does the same under runc, unpacked by umoci'),
    async () => {
      const bundle = path.join(makeTempDir('oracle'), 'bundle');
      await must('umoci', ['unpack', '--image', `${layout}:${TAG}`, bundle]);
      const rootfs = path.join(bundle, 'rootfs');
      // -B, and before anything else: python would write its caches into the bundle.
      const listing = ['python3', '-B', '-c', LISTING];
      const theirs = (await runc({ rootfs, args: listing })).stdout;
      const ours = await runContainer(image, listing).text();
      expect(ours.split('\n').length).toBeGreaterThan(3000);
      expect(ours).toBe(theirs);
      expect((await runc({ rootfs, args: ['python3', '/app/hello.py'] })).stdout).toBe('hello from python 3\n');
      // 128 + SIGKILL
      expect((await runc({ rootfs, args: GREEDY, memory: MEMORY })).exitCode).toBe(137);
    },
    120_000,
  );

  it('is pulled once when ten ask at the same time', async () => {
    await registry.push(layout, TAG, 'again');
    const store = await ImageStore.open({ root: makeTempDir('store') });
    const before = bodies().length;
    const texts = await Promise.all(
      Array.from({ length: 10 }, () => runContainer(`${registry.address}/again:${TAG}`, ['python3', '-c', 'print(1)'], { store }).text()),
    );
    expect(texts.map((t) => t.trimEnd())).toEqual(Array(10).fill('1'));
    expect(bodies().length - before).toBe(4);
  }, 120_000);
});

/** Every entry of the root but the kernel's and the runtimes' own, which change /etc: type and mode, owner, size, links, target, time. */
const LISTING = `
import os, stat
skip = {"/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run", "/tmp"}
for top, dirs, files in os.walk("/"):
    dirs[:] = sorted(d for d in dirs if os.path.join(top, d) not in skip)
    for name in sorted(dirs + files):
        p = os.path.join(top, name)
        if p in skip: continue
        s = os.lstat(p)
        d = stat.S_ISDIR(s.st_mode)
        print(p, oct(s.st_mode), s.st_uid, s.st_gid, 0 if d else s.st_size, 0 if d else s.st_nlink, os.readlink(p) if stat.S_ISLNK(s.st_mode) else "", 0 if p == "/etc" else int(s.st_mtime))
`;
