// The README's first example, run as it stands.
import { readFileSync } from 'node:fs';
import { makeTempDir } from '@ctr/internal/testing';
import { expect, it } from 'vitest';
import { FakeRegistry, putImage } from './support/fake-registry.js';
import { bundle, runNode } from './support/programs.js';

it('the example of the README pulls an image and lists its layers', async () => {
  const registry = await FakeRegistry.start();
  await putImage(registry, 'app');
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  expect(example.trim().split('\n').length).toBeLessThan(20);
  const script = example.replace("import { ImageStore } from '@ctr/image';", `process.argv[2] = args.reference;`);
  const child = runNode(await bundle(), script, { reference: `${registry.host}/app` }, ['env', `STORE=${makeTempDir('store')}`]);
  expect(await child.done).toMatch(
    /^127\.0\.0\.1:\d+\/app:latest for linux\/\w+, \/hello\n[0-9a-f]{12} {6}0\.0 MB {2}application\/vnd\.oci\.image\.layer\.v1\.tar\+gzip\n$/,
  );
});
