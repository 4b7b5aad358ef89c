// Two containers on one set of layers: each writes its own files, the layers stay as they are.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { good, row, section, table } from '../show/page.mjs';

async function whatItSaw(container) {
  let text = '';
  for await (const chunk of container.stdout) text += chunk;
  await container.exited;
  return { ...JSON.parse(text), layer: container.spec.root.path };
}

export async function itsOwnFiles({ run, store, image }) {
  section('Two containers, one copy on disk');
  const names = ['anna', 'bert'];
  const seen = await Promise.all(names.map((name) => run(`${name} writing`, { name, command: ['write-note.mjs', name] }, whatItSaw)));
  table([
    ['container', 'its /app/note.txt', 'new in its root'],
    ...names.map((name, i) => [name, seen[i].note, seen[i].root.map((file) => `/${file}`).join(' ')]),
  ]);
  const { layer } = seen[0];
  row('layer on disk', layer.startsWith('/proc/') ? 'a file of the store, mounted as EROFS' : path.relative(store.root, layer));
  row('note.txt in it', readFileSync(path.join(layer, 'app/note.txt'), 'utf8').trim());
  good(`both used the same ${image.layers.length} layers, unpacked once; what they wrote is gone with them`);
}
