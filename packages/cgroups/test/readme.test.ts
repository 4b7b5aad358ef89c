// The examples of the README and of the guide run as they stand there.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it, vi } from 'vitest';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const guide = readFileSync(new URL('../../../docs/guides/limits.md', import.meta.url), 'utf8');
const source = JSON.stringify(fileURLToPath(new URL('../src/index.ts', import.meta.url)));
/** The block of code behind these words. */
const blockAfter = (text: string, words: string): string => /```ts\n([\s\S]*?)```/.exec(text.slice(text.indexOf(words)))?.[1] ?? '';
/** Runs it as a module; what it logs. `more` is what it takes for granted. */
async function logged(code: string, more = ''): Promise<unknown[][]> {
  const file = `${makeTempDir('readme')}/example.ts`;
  writeFileSync(file, `${more}${code.replace("'@ctr/cgroups'", source)}`);
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  try {
    await import(file);
    return log.mock.calls;
  } finally {
    log.mockRestore();
  }
}
const example = /<!-- example: .*-->\n```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';

describe('the README', () => {
  const n = need('cgroup:memory');
  it.skipIf(!n.ok)(n.title('has an example that limits a command and reports on it'), async () => {
    const file = `${makeTempDir('readme')}/example.ts`;
    writeFileSync(file, example.replace("'@ctr/cgroups'", source));
    const { limited } = (await import(file)) as { limited(memory: number, command: string): Promise<Record<string, unknown>> };
    expect(await limited(1 << 26, 'exit 3')).toMatchObject({ code: 3, oom: false });
    expect(await limited(24 << 20, 'exec tail /dev/zero')).toMatchObject({ code: null, oom: true });
  });

  const all = need('cgroup:memory', 'cgroup:cpu', 'cgroup:pids');
  it.skipIf(!all.ok)(all.title('has a smallest example that ends what it has begun'), async () => {
    const [[pids, memory] = []] = (await logged(blockAfter(readme, '## Smallest example'))) as [[number[], object]];
    expect([pids, memory]).toEqual([[expect.any(Number)], expect.objectContaining({ limitBytes: 64 * 1024 * 1024 })]);
    await expect.poll(() => existsSync(`/proc/${pids?.[0]}/exe`)).toBe(false);
  });

  it('shows a tool of under 20 lines', () => {
    expect(example.split('\n').filter((l) => l.trim() !== '').length).toBeLessThan(20);
    expect(example).toContain('openParent');
  });
});

describe('the guide to limits', () => {
  const n = need('cgroup:memory');
  it.skipIf(!n.ok)(n.title('tells what kind of host this is, and what it cannot enforce'), async () => {
    const [host, missing] = await logged(blockAfter(guide, '## What kind of host is it?'));
    expect(host).toEqual([expect.stringMatching(/^(unified|hybrid|legacy)$/), expect.objectContaining({ memory: expect.anything() })]);
    expect(missing).toEqual([expect.any(Array)]);
  });

  it('translates the words of OCI and Docker', async () => {
    const code = blockAfter(guide, '## In other words');
    expect(code).toContain('resourcesFromDocker(');
    await logged(code, 'const config = { linux: { resources: { memory: { limit: 1 << 26 } } } };\n');
  });
});
