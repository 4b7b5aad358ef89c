// docker diff and docker commit: what a container changed, read from its layer on disk with the owners that it sees itself.
import { lstatSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { type Image, ImageStore, packTar, type TarEntry } from '@ctr/image';
import { leakCheck, makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Container, type RunOptions, runContainer } from '../src/index.js';
import { atLeast } from '../src/session/host-facts.js';
import { busyboxRoot } from './busybox-root.js';

const asRoot = process.getuid?.() === 0;
const n = need('busybox', asRoot ? 'root' : 'overlay-in-userns');
const freezer = need('busybox', 'root', 'cgroup:memory');

function entriesOf(folder: string, below = ''): TarEntry[] {
  return readdirSync(path.join(folder, below), { withFileTypes: true }).flatMap((e): TarEntry[] => {
    const name = path.join(below, e.name);
    if (e.isDirectory()) return [{ type: 'directory', path: name }, ...entriesOf(folder, name)];
    if (e.isSymbolicLink()) return [{ type: 'symlink', path: name, target: 'busybox' }];
    return [{ type: 'file', path: name, source: path.join(folder, name), mode: lstatSync(path.join(folder, name)).mode & 0o777 }];
  });
}

async function all<T>(list: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const one of list) out.push(one);
  return out;
}

/** As root with the host's users and with its own; an ordinary user has one way. */
const WAYS: { way: string; options: RunOptions }[] = asRoot
  ? [
      { way: 'with the host’s users', options: { userns: 'host' } },
      // Layers are shown with mapped ids from Linux 6.15 on.
      ...(atLeast([6, 15]) ? [{ way: 'with users of its own', options: { userns: 'auto' as const } }] : []),
    ]
  : [{ way: 'as an ordinary user', options: {} }];

const CHANGE = `mkdir -p /made/in && echo new >/made/in/file && ln /made/in/file /made/link && rm /srv/second && rm -r /srv/gone && mkdir /srv/gone &&
  echo other >/srv/gone/other && chmod 700 /srv/kept && touch /etc/seen${asRoot ? ' && chown -R 33:44 /made/in' : ''}`;
const OWNER = asRoot ? '33:44' : '0:0';
const LOOK =
  'cat /made/in/file; stat -c "%u:%g %h" /made/in/file /srv/kept/file; ls -a /srv /srv/gone | tr "\\n" " "; stat -c %a /srv/kept; stat -c %u:%g /';

describe.skipIf(!n.ok)(n.title('what a container changed'), () => {
  let store: ImageStore;
  let image: Image;

  beforeAll(async () => {
    store = await ImageStore.open({ root: makeTempDir('store') });
    image = await store.create({
      reference: 'localhost/test/changes:1',
      layers: [
        packTar(entriesOf(busyboxRoot())),
        packTar([
          { type: 'directory', path: 'srv' },
          { type: 'file', path: 'srv/second', content: 'layer\n' },
          { type: 'directory', path: 'srv/gone' },
          { type: 'file', path: 'srv/gone/file', content: 'layer\n' },
          { type: 'directory', path: 'srv/kept' },
          { type: 'file', path: 'srv/kept/file', content: 'layer\n' },
        ]),
      ],
      config: { Env: ['PATH=/bin'], Cmd: ['sleep', '600'], Labels: { kept: 'yes' } },
    });
  });

  const open = (options: RunOptions): Promise<Container> =>
    Promise.resolve(runContainer({ image, store, writable: 'disk', stdout: 'ignore', stderr: 'ignore', ...options }));

  describe.each(WAYS)('$way', ({ options }) => {
    it('is told path by path, and is an image with which containers start that see the same', async () => {
      await using first = await open(options);
      expect(await all(first.diff())).toEqual([]);
      expect((await first.exec(['sh', '-c', CHANGE]).result()).stderr).toBe('');
      const changes = await all(first.diff());
      expect(changes.map((c) => `${c.kind} ${c.path} ${c.uid}:${c.gid}`).sort()).toEqual(
        [
          'added /etc/seen 0:0',
          'added /made 0:0',
          `added /made/in ${OWNER}`,
          `added /made/in/file ${OWNER}`,
          `added /made/link ${OWNER}`,
          'deleted /srv/second 0:0',
          'modified /srv/gone 0:0',
          'added /srv/gone/other 0:0',
          'modified /srv/kept 0:0',
        ].sort(),
      );
      const saw = await first.exec(['sh', '-c', LOOK]).text();
      expect(saw).toContain(`${OWNER} 2\n0:0 1\n`);

      const made = await first.commit('localhost/test/changes:2', { config: { Cmd: ['sh', '-c', LOOK] }, message: 'by a test' });
      expect([made.layers.length, made.config.Labels, made.config.Env]).toEqual([3, { kept: 'yes' }, ['PATH=/bin']]);
      // It went on, and nothing of it is in the way of the image.
      expect((await first.exec(['sh', '-c', 'echo later >/later']).result()).exitCode).toBe(0);
      expect(await runContainer({ image: made, store, ...options }).text()).toBe(saw);
      // The same changes are the same layer, whoever the users were outside.
      await using second = await open(options);
      expect((await second.exec(['true']).result()).exitCode).toBe(0);
      expect((await second.commit('localhost/test/changes:3')).layers.length).toBe(3);
    });
  });

  it.skipIf(!freezer.ok)(freezer.title('is of one moment: its processes stand still meanwhile'), async () => {
    await using box = await open({ command: ['sh', '-c', 'while :; do echo x >>/a; cp /a /b; done'] });
    await expect.poll(() => box.exec(['test', '-s', '/b']).result()).toMatchObject({ exitCode: 0 });
    const made = await box.commit('localhost/test/changes:4');
    const sizes = await runContainer({ image: made, store, command: ['stat', '-c', '%s', '/a', '/b'] }).text();
    const [a = 0, b = 0] = sizes.trim().split('\n').map(Number);
    // Between two calls of that loop, b is a or one line behind, or on its way from one to the other.
    expect(a).toBeGreaterThan(0);
    expect(b).toBeLessThanOrEqual(a);
    await expect.poll(() => box.exec(['stat', '-c', '%s', '/a']).text().then(Number)).toBeGreaterThan(a);
  });

  it('is not to be had of memory, of folders, and of what has ended; nothing stays behind', async () => {
    const check = leakCheck();
    const code = (e: { code: string; message: string }) => `${e.code} ${e.message}`;
    {
      await using memory = await open({ writable: 'memory' });
      expect(await memory.commit('localhost/x').catch(code)).toMatch(/^CTR_UNSUPPORTED .*writable layer on disk/);
      expect(await memory.diff().next().catch(code)).toMatch(/^CTR_UNSUPPORTED /);
      await using folder = await runContainer({ rootfs: busyboxRoot(), command: ['sleep', '600'], writable: 'disk' });
      expect(await folder.commit('localhost/x').catch(code)).toMatch(/^CTR_UNSUPPORTED .*made from an image/);
      expect(await all(folder.diff())).toEqual([]);
      const odd = { pause: 'yes' } as unknown as { pause: boolean };
      expect(await folder.commit('localhost/x', odd).catch(code)).toMatch(/^CTR_INVALID_ARGUMENT .*pause/);
      const aborted = await open({});
      expect(await aborted.commit('localhost/x', { signal: AbortSignal.abort() }).catch((e) => e.name)).toBe('AbortError');
      await aborted[Symbol.asyncDispose]();
      expect(await aborted.commit('localhost/x').catch(code)).toMatch(/^CTR_UNSUPPORTED .*running container/);
    }
    // Ranges of ids, and layers that are mounted for them, are kept for a while.
    await check.assertClean({ withinMs: 10_000 });
  });
});
