// Cases L-45 and L-48: an image whose directories are links to the host, and a config whose paths lead through them. What is mounted and
// made for a container lies in its root or the start fails; the host's folder is byte for byte what it was.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Image, ImageStore, packTar, type TarEntry } from '@ctr/image';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { type RunOptions, runContainer } from '../src/index.js';

const asRoot = process.getuid?.() === 0;
const n = need('busybox', asRoot ? 'root' : 'overlay-in-userns');

const BUSYBOX: readonly TarEntry[] = [
  { type: 'directory', path: 'bin' },
  { type: 'directory', path: 'etc' },
  ...['sh', 'ls', 'pwd', 'touch', 'cat', 'readlink', 'stat'].map(
    (a): TarEntry => ({ type: 'symlink', path: `bin/${a}`, target: 'busybox' }),
  ),
];

describe.skipIf(!n.ok)(n.title('images with paths to the host'), () => {
  let store: ImageStore;
  let canary: string;
  let made = 0;

  const state = (): string =>
    execFileSync('sh', ['-c', 'find . -printf "%P %y %i %m %U %G %s %T@ %C@\\n" | sort; cat file'], { cwd: canary, encoding: 'utf8' });

  async function imageOf(entries: readonly TarEntry[], config: { WorkingDir?: string; Volumes?: string[] } = {}): Promise<Image> {
    const busybox: TarEntry = { type: 'file', path: 'bin/busybox', source: host.program('busybox'), mode: 0o755 };
    return store.create({
      reference: `localhost/paths/${made++}:1`,
      layers: [packTar([...BUSYBOX, busybox, ...entries])],
      compression: 'none',
      config: { Env: ['PATH=/bin'], ...config },
    });
  }

  /** What it printed, or the name of the error with which the start failed; the host's folder stays as it was. */
  async function outcome(image: Image, script: string, options: RunOptions = {}): Promise<string> {
    const before = state();
    const result = await runContainer({ image, store, command: ['/bin/sh', '-c', script], ...options })
      .result()
      .then(
        (r) => r.stdout,
        (e: Error) => e.name,
      );
    expect(state(), 'the host is as it was').toBe(before);
    return result;
  }

  beforeAll(async () => {
    store = await ImageStore.open({ root: makeTempDir('store') });
    canary = makeTempDir('canary');
    mkdirSync(path.join(canary, 'sub'));
    writeFileSync(path.join(canary, 'file'), 'of the host\n');
  });

  describe.each(['dev', 'proc', 'sys', 'run', 'tmp'])('L-45: /%s', (name) => {
    it.each<[string, RunOptions]>([
      ['plain', {}],
      ['with a terminal', { tty: true }],
      ['with a read-only root', { readOnly: true }],
    ])('is a link to the host: %s', async (_, options) => {
      for (const up of ['', '../../../../../../../..']) {
        const image = await imageOf([{ type: 'symlink', path: name, target: `${up}${canary}` }]);
        const seen = await outcome(image, `ls /${name}/file 2>/dev/null; touch /${name}/evil 2>/dev/null; echo done`, options);
        // It ran on what is mounted there, or on nothing; or it did not start at all.
        expect(seen.replaceAll('\r', '')).toBeOneOf(['done\n', 'StartError']);
      }
    });
  });

  it.each<[string, readonly TarEntry[], string]>([
    ['that does not exist', [], '/not/there'],
    ['with a link to the host in it', [{ type: 'symlink', path: 'way', target: 'CANARY' }], '/way/new/dir'],
    ['that is a link to the host', [{ type: 'symlink', path: 'way', target: 'CANARY' }], '/way'],
    ['with a link out of the root in it', [{ type: 'symlink', path: 'way', target: '../../../../../..CANARY' }], '/way/sub'],
    ['with ".." in it', [], '/../../../..CANARY/sub'],
  ])('L-48: a WORKDIR %s', async (_, entries, workdir) => {
    const real = (text: string): string => text.replace('CANARY', canary);
    const image = await imageOf(
      entries.map((e) => (e.type === 'symlink' ? { ...e, target: real(e.target) } : e)),
      { WorkingDir: real(workdir) },
    );
    // In a root of its own no such folder is the host's: its files do not show.
    expect(await outcome(image, 'ls; touch evil 2>/dev/null; true')).toBeOneOf(['', 'evil\n', 'StartError']);
  });

  it.each(['/../../x', '/way', '/way/sub', '/proc', '/../CANARY'])('L-48: a VOLUME %s makes nothing on the host', async (volume) => {
    const image = await imageOf([{ type: 'symlink', path: 'way', target: canary }], {
      Volumes: [volume.replace('CANARY', canary)],
    });
    expect(await outcome(image, 'cat /way/file 2>/dev/null; echo done')).toBeOneOf(['done\n', 'StartError']);
  });
});
