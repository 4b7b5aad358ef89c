// The README's example runs as it stands there.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const example = /<!-- example: .*-->\n```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';

describe('the README', () => {
  const n = need('cgroup:memory');
  it.skipIf(!n.ok)(n.title('has an example that limits a command and reports on it'), async () => {
    const file = `${makeTempDir('readme')}/example.ts`;
    writeFileSync(file, example.replace("'@ctr/cgroups'", JSON.stringify(fileURLToPath(new URL('../src/index.ts', import.meta.url)))));
    const { limited } = (await import(file)) as { limited(memory: number, command: string): Promise<Record<string, unknown>> };
    expect(await limited(1 << 26, 'exit 3')).toMatchObject({ code: 3, oom: false });
    expect(await limited(24 << 20, 'exec tail /dev/zero')).toMatchObject({ code: null, oom: true });
  });

  it('shows a tool of under 20 lines', () => {
    expect(example.split('\n').filter((l) => l.trim() !== '').length).toBeLessThan(20);
    expect(example).toContain('openParent');
  });
});
