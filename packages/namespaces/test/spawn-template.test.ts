// A template starts many programs that differ in name, program and streams.
import { mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Fd } from '@ctr/internal/fd';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { type SpawnOptions, spawnTemplate } from '../src/index.js';
import { ENV, finished, leaks, messageOf, shell, WAYS } from './run.js';

const userns = need('userns');
const PLACEHOLDER = 'b51dd7f2a90c4e0e8f77';
const NAMES = ['first-name-0000000001', 'second-name-000000002'].map((n) => n.slice(0, PLACEHOLDER.length));

describe.skipIf(!userns)('spawnTemplate', () => {
  describe.each(WAYS)('$way', ({ user }) => {
    const options = (dir: string): SpawnOptions => ({
      args: ['true'],
      namespaces: { user, pid: 'new', mount: 'new', uts: 'new' },
      hostname: PLACEHOLDER.slice(0, 12),
      stdio: ['ignore', 'pipe', 'ignore'],
      prepare: [{ call: 'mkdirat', args: [-100, path.join(dir, PLACEHOLDER), 0o700] }],
      cleanup: [{ call: 'unlinkat', args: [-100, path.join(dir, PLACEHOLDER), 0x200] }],
    });

    it('each start has its own name, program, environment and clean-up', async () => {
      const dir = makeTempDir('template');
      const template = spawnTemplate(options(dir), PLACEHOLDER);
      await shell('true');
      const check = leaks();
      for (const [i, name] of [...NAMES, ...NAMES].entries()) {
        const args = ['sh', '-c', `hostname; echo $WHO; ls ${dir}; exit ${i}`];
        const r = await finished(await template.spawn({ name, args, env: { ...ENV, WHO: `${PLACEHOLDER}!` } }));
        expect([r.stdout, r.exitCode]).toEqual([`${name.slice(0, 12)}\n${name}!\n${name}\n`, i]);
        expect(readdirSync(dir)).toEqual([]);
      }
      await check.assertClean();
    });

    it('at the same time, and with frozen arguments that are encoded once', async () => {
      const dir = makeTempDir('template');
      const template = spawnTemplate(options(dir), PLACEHOLDER);
      const args = Object.freeze(['hostname']);
      const env = Object.freeze({ ...ENV });
      const ran = await Promise.all(NAMES.map(async (name) => finished(await template.spawn({ name, args, env }))));
      expect(ran.map((r) => r.stdout)).toEqual(NAMES.map((n) => `${n.slice(0, 12)}\n`));
    });

    it('a failure names what this start was', async () => {
      const dir = makeTempDir('template');
      const template = spawnTemplate(options(dir), PLACEHOLDER);
      const [name] = NAMES as [string];
      mkdirSync(path.join(dir, name));
      const message = await messageOf(template.spawn({ name, args: ['true'], env: ENV, doing: 'start it' }));
      expect(message).toContain('start it: mkdirat: EEXIST (file exists)');
      expect(message).toContain(path.join(dir, name));
      expect(await messageOf(template.spawn({ name: NAMES[1] as string, args: ['/no/such'], env: ENV }))).toContain('execve: ENOENT');
      expect(readdirSync(dir)).toEqual([]);
    });

    it('takes a descriptor of each start where the template has one', async () => {
      const dir = makeTempDir('template');
      const file = (n: string) => Fd.of(openSync(path.join(dir, n), 'w'));
      const example = file('example');
      const template = spawnTemplate({ ...options(makeTempDir('template')), stdio: ['ignore', example, 'ignore'] }, PLACEHOLDER);
      for (const name of NAMES) {
        const out = file(name);
        await finished(await template.spawn({ name, args: ['hostname'], env: ENV, stdio: ['ignore', out, 'ignore'] }));
        out.close();
        expect(readFileSync(path.join(dir, name), 'utf8')).toBe(`${name.slice(0, 12)}\n`);
      }
      example.close();
    });
  });

  it('refuses what a template cannot be, before anything is touched', async () => {
    const base: SpawnOptions = { args: ['true'], namespaces: { pid: 'new', user: 'new' } };
    expect(() => spawnTemplate(base, 'short')).toThrow('expected "placeholder" to be at least 12 ASCII characters');
    const fd = Fd.of(openSync('/proc/self/ns/uts', 'r'));
    expect(() => spawnTemplate({ ...base, namespaces: { uts: fd } }, PLACEHOLDER)).toThrow('to be no descriptors but those of stdio');
    fd.close();
    const template = spawnTemplate(base, PLACEHOLDER);
    const name = NAMES[0] as string;
    expect(await messageOf(template.spawn({ name: 'x', args: ['true'] }))).toContain('expected "name" to be 20 ASCII characters');
    expect(await messageOf(template.spawn({ name, args: ['true'], stdio: ['pipe', 'pipe', 'pipe'] }))).toContain(
      'expected "stdio" to be streams for stdout,stderr',
    );
    expect(await messageOf(template.spawn({ name, args: [] }))).toContain('expected "args" to be a non-empty array');
    expect(await messageOf(template.spawn({ name, args: ['a\0b'] }))).toContain('args[0]');
  });
});
