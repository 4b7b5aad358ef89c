// The promise: the built packages load by import and by require, twice, in worker threads, and on any system.
import './fixtures/store.js';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { busyboxRoot } from './fixtures/busybox-root.js';
import { children } from './fixtures/child.js';

const n = need('linux', 'userns', 'overlay-in-userns', 'busybox', 'static-cc');
const NAMES = ['namespaces', 'cgroups', 'overlayfs', 'image', 'runtime'];
const here = fileURLToPath(new URL('.', import.meta.url));
const node = (...args: string[]) =>
  spawnSync(process.execPath, args, { cwd: here, encoding: 'utf8', timeout: 30_000, env: { ...process.env, NODE_OPTIONS: '' } });
const evaluate = (code: string) => node('--input-type=module', '-e', code);

let rootfs = '';

beforeAll(async () => {
  if (n.ok) rootfs = await busyboxRoot();
});

describe('every package', () => {
  it.each(NAMES)('@ctr/%s gives the same names by import and by require', (name) => {
    const code = `import { createRequire } from 'node:module'; const a = Object.keys(await import('@ctr/${name}')).filter((k) => k !== 'default' && k !== 'module.exports').sort();
      const b = Object.keys(createRequire(import.meta.url)('@ctr/${name}')).sort(); console.log(JSON.stringify(a) === JSON.stringify(b), a.length > 0)`;
    const r = evaluate(code);
    expect([r.stdout, r.stderr]).toEqual(['true true\n', '']);
  });

  it.each(NAMES)('@ctr/%s can be imported on another system', (name) => {
    const r = evaluate(
      `Object.defineProperty(process, 'platform', { value: 'darwin' }); await import('@ctr/${name}'); console.log('imported')`,
    );
    expect([r.stdout, r.stderr]).toEqual(['imported\n', '']);
  });

  it('says on another system what it needs', () => {
    const r =
      evaluate(`Object.defineProperty(process, 'platform', { value: 'darwin' }); const { runContainer } = await import('@ctr/runtime');
      await runContainer({ rootfs: '/', command: ['true'] }).result().catch((e) => console.log(e.name, e.code, e.requires))`);
    expect([r.stdout, r.stderr]).toEqual([expect.stringMatching(/^UnsupportedError CTR_UNSUPPORTED Linux/), '']);
  });
});

describe('the next release', () => {
  it('can be made of what the changes say of themselves', () => {
    const root = path.join(here, '..');
    const copy = makeTempDir('release');
    const manifests = NAMES.map((name) => `packages/${name}/package.json`);
    for (const file of ['package.json', 'pnpm-workspace.yaml', '.changeset', ...manifests])
      cpSync(path.join(root, file), path.join(copy, file), { recursive: true });
    const said = readdirSync(path.join(root, '.changeset')).filter((name) => name.endsWith('.md'));
    const r = spawnSync(process.execPath, [createRequire(import.meta.url).resolve('@changesets/cli/bin.js'), 'version'], {
      cwd: copy,
      encoding: 'utf8',
      timeout: 30_000,
    });
    expect([r.status, r.status === 0 ? '' : r.stdout + r.stderr]).toEqual([0, '']);
    const version = (dir: string, file: string): string => JSON.parse(readFileSync(path.join(dir, file), 'utf8')).version;
    for (const file of manifests) expect(version(copy, file) !== version(root, file), file).toBe(said.length > 0);
  });
});

// Without execArgv a worker takes on vitest's own conditions, which lead to the sources.
describe.skipIf(!n.ok)(n.title('a program that uses it'), () => {
  it('may load it twice, by import and by require', () => {
    const r =
      evaluate(`import { createRequire } from 'node:module'; const a = await import('@ctr/runtime'); const b = createRequire(import.meta.url)('@ctr/runtime');
      const o = { rootfs: ${JSON.stringify(rootfs)}, command: ['/bin/echo', 'hi'] };
      console.log((await Promise.all([a.runContainer(o).text(), b.runContainer(o).text()])).map((t) => t.trim()).join());
      await b.runContainer({ nonsense: 1 }).result().catch((e) => console.log(e instanceof a.InvalidArgumentError));`);
    expect([r.stdout, r.stderr]).toEqual(['hi,hi\ntrue\n', '']);
  });

  it('ends by itself when its containers have ended', () => {
    const started = performance.now();
    const r = evaluate(
      `const { runContainer } = await import('@ctr/runtime'); await runContainer({ rootfs: ${JSON.stringify(rootfs)}, command: ['/bin/true'] }).result(); console.log('done')`,
    );
    expect([r.status, r.signal, r.stdout, r.stderr]).toEqual([0, null, 'done\n', '']);
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it('may use it in worker threads', async () => {
    const texts = await Promise.all(
      [1, 2, 3].map(async () => {
        const worker = new Worker(`${children}worker.mjs`, { workerData: { rootfs }, execArgv: [] });
        const message = await new Promise<{ text: string }>((resolve, reject) => worker.once('message', resolve).once('error', reject));
        await worker.terminate();
        return message.text.trim();
      }),
    );
    expect(texts).toEqual(Array(3).fill('from a worker'));
  });

  it('loses the containers of a worker thread that is ended', async () => {
    const worker = new Worker(`${children}worker.mjs`, { workerData: { rootfs, keep: true }, execArgv: [] });
    const { pid } = await new Promise<{ pid: number }>((resolve, reject) => worker.once('message', resolve).once('error', reject));
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    await worker.terminate();
    const end = performance.now() + 1000;
    while (existsSync(`/proc/${pid}`) && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });
});
