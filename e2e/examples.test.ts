// The promise: the examples run as they stand, and the demonstration of `npm start` shows what it says.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { host, leakCheck, makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, describe, expect, it } from 'vitest';

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
    expect([r.code, r.out]).toEqual([0, expect.stringMatching(limited ? /top-demo\/spinner +\d+\.\d%/ : /\S/)]);
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
