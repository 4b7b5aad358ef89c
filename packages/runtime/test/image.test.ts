// Containers from an image: what the image says about running it, shared layers, users, network files.
import { type Image, ImageStore, packTar } from '@ctr/image';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { ImageError, type RunOptions, runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';
import { entriesOf } from './entries.js';

const asRoot = process.getuid?.() === 0;
const n = need('busybox', asRoot ? 'root' : 'overlay-in-userns');

describe.skipIf(!n.ok)(n.title('containers of an image'), () => {
  let store: ImageStore;
  let image: Image;
  const run = (script: string, options: RunOptions = {}) => runContainer({ image, store, command: ['sh', '-c', script], ...options });

  beforeAll(async () => {
    store = await ImageStore.open({ root: makeTempDir('store') });
    image = await store.create({
      reference: 'localhost/test/busybox:1',
      layers: [
        packTar(entriesOf(busyboxRoot())),
        packTar([
          { type: 'directory', path: 'srv' },
          { type: 'file', path: 'srv/second', content: 'layer\n' },
        ]),
      ],
      config: { Env: ['COLOUR=red', 'PATH=/bin'], Cmd: ['sh', '-c', 'echo default; pwd'], WorkingDir: 'srv', StopSignal: 'SIGINT' },
    });
  });

  it('run what the image says', async () => expect(await runContainer({ image, store }).text()).toBe('default\n/srv\n'));

  it('are found by reference, without a request', async () =>
    expect(await runContainer('localhost/test/busybox:1', ['cat', 'second'], { store, pull: 'never' }).text()).toBe('layer\n'));

  it('have its environment', async () => expect(await run('echo $COLOUR $PATH').text()).toBe('red /bin\n'));

  it('know localhost', async () =>
    expect(await run('cat /etc/hosts; touch /etc/hosts 2>&1').result()).toMatchObject({
      stdout: expect.stringContaining('127.0.0.1\tlocalhost'),
      exitCode: 1,
    }));

  it('share their layers and not their files', async () => {
    await using a = await run('echo a > /srv/second; sleep 100');
    await using b = await run('sleep 100');
    await expect.poll(() => a.exec(['cat', '/srv/second']).text()).toBe('a\n');
    expect(await b.exec(['cat', '/srv/second']).text()).toBe('layer\n');
    expect(a.spec.root.path).toBe(b.spec.root.path);
  });

  it('start many at once', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => run(`echo ${i}`).text()));
    expect(all).toEqual(Array.from({ length: 20 }, (_, i) => `${i}\n`));
  });

  it.runIf(asRoot)('run as users of the image', async () => {
    expect(await run('id', { user: 'node' }).text()).toBe('uid=1000(node) gid=1000(node) groups=29(audio),1000(node)\n');
    expect(await run('id; grep CapEff /proc/self/status', { user: '4000:5000' }).text()).toBe(
      'uid=4000 gid=5000 groups=5000\nCapEff:\t0000000000000000\n',
    );
    await using c = await run('sleep 100');
    expect(await c.exec(['sh', '-c', 'id -u; echo $HOME'], { user: 'node' }).text()).toBe('1000\n/home/node\n');
  });

  it('hold a lease on their layers, whatever becomes of the name', async () => {
    const other = await store.create({
      reference: 'localhost/test/gone:1',
      layers: [packTar([...entriesOf(busyboxRoot()), { type: 'file', path: 'own', content: 'x' }])],
    });
    await using c = await runContainer({ image: other, store, command: ['sh', '-c', 'sleep 100'] });
    await store.remove('localhost/test/gone:1');
    await store.gc();
    expect(await c.exec(['cat', '/own']).text()).toBe('x');
  });

  it('show directories that the archive of an upper layer leaves out as the layers below say', async () => {
    const time = 1_234_567_890;
    const made = await store.create({
      reference: 'localhost/test/parents:1',
      layers: [
        packTar([
          ...entriesOf(busyboxRoot()).filter((entry) => entry.path !== 'tmp'),
          { type: 'directory', path: 'tmp', mode: 0o1777, mtime: time },
          { type: 'directory', path: 'home', mode: 0o711, mtime: time },
          { type: 'directory', path: 'home/user', mode: 0o750, uid: 1000, gid: 1000, mtime: time },
        ]),
        packTar([
          { type: 'file', path: 'tmp/new', content: 'x' },
          { type: 'file', path: 'home/user/new', content: 'x' },
        ]),
      ],
    });
    const command = ['stat', '-c', '%n %a %u:%g %Y', '/tmp', '/home', '/home/user', '/home/user/new'];
    // Without ranges of ids everything in a layer on disk is this user's own.
    const user = asRoot ? '1000:1000' : '0:0';
    const expected = [`/tmp 1777 0:0 ${time}`, `/home 711 0:0 ${time}`, `/home/user 750 ${user} ${time}`, '/home/user/new 644 0:0 0', ''];
    expect(await runContainer({ image: made, store, command }).text()).toBe(expected.join('\n'));
    if (asRoot) expect(await runContainer({ image: made, store, command, userns: 'host' }).text()).toBe(expected.join('\n'));
  });

  it('say what is missing', async () => {
    await expect(runContainer('localhost/test/nothing:1', ['true'], { store, pull: 'never' }).result()).rejects.toThrow(ImageError);
    await expect(run('true', { user: 'nobody' }).result()).rejects.toThrow('user "nobody" is not in the container\'s /etc/passwd');
    await expect(runContainer('not a reference', ['true'], { store }).result()).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
  });
});
