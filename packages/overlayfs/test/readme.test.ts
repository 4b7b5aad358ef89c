// The README's example runs as it stands there.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { mountsHere } from './needs.js';
import { bundle } from './run-harness.js';
import { archive, dir, file } from './tar-builder.js';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const example = /<!-- example: .*-->\n```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';

describe('the README', () => {
  it.skipIf(!mountsHere.ok)(mountsHere.title('has an example that shows what a layer does to a tree'), async () => {
    const work = makeTempDir('readme');
    const source = path.join(work, 'example.ts');
    writeFileSync(source, example.replace("'@ctr/overlayfs'", JSON.stringify(fileURLToPath(new URL('../src/index.ts', import.meta.url)))));
    const base = path.join(work, 'base');
    mkdirSync(path.join(base, 'old'), { recursive: true });
    mkdirSync(path.join(base, 'kept'));
    const tar = path.join(work, 'layer.tar');
    writeFileSync(tar, archive(file('.wh.old', ''), dir('new')));
    const shown = execFileSync(process.execPath, [await bundle(source), tar, base], { encoding: 'utf8' });
    expect(shown).toContain('entries: 2');
    expect(shown).toContain("[ 'kept', 'new' ]");
  });

  it('shows a tool of under 20 lines', () => {
    expect(example.split('\n').filter((l) => l.trim() !== '').length).toBeLessThan(20);
    expect(example).toContain('mountOverlay');
  });
});
