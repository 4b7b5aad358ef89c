// Shows what each layer of an image adds, changes and removes, and what room that wastes.
// node index.mjs IMAGE [--top=10] [--insecure]     the image is pulled when the store lacks it
import { parseArgs } from 'node:util';
import { ImageStore } from '@ctr/image';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { top: { type: 'string', default: '10' }, insecure: { type: 'boolean' } },
});
const store = await ImageStore.open();
const image = await store.pull(positionals[0] ?? 'debian:12', { insecure: values.insecure ?? false });
const size = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`.padStart(11);

/** Path to size, as the layers so far leave it. */
const tree = new Map();
let wasted = 0;

/** Forgets a path and, when `below` is set, everything under it; returns the bytes that nobody sees any more. */
function hide(path, below) {
  let bytes = tree.get(path) ?? 0;
  tree.delete(path);
  if (below) {
    for (const [name, length] of tree) {
      if (!name.startsWith(path === '.' ? '' : `${path}/`)) continue;
      bytes += length;
      tree.delete(name);
    }
  }
  return bytes;
}

for (const [i, layer] of image.layers.entries()) {
  const counts = { added: 0, changed: 0, removed: 0 };
  const files = [];
  let bytes = 0;
  // A whiteout is about lower layers only, wherever it stands in its own: those come first.
  const entries = [];
  for await (const entry of store.entries(layer)) entries.push(entry);
  const rank = ({ type }) => (type === 'whiteout' || type === 'opaque' ? 0 : 1);
  for (const entry of entries.sort((a, b) => rank(a) - rank(b))) {
    if (entry.type === 'whiteout' || entry.type === 'opaque') {
      wasted += hide(entry.path, true);
      counts.removed++;
    } else if (entry.type !== 'directory') {
      counts[tree.has(entry.path) ? 'changed' : 'added']++;
      wasted += hide(entry.path, false);
      tree.set(entry.path, entry.size);
      bytes += entry.size;
      files.push(entry);
    }
  }
  console.log(
    `layer ${i + 1}  ${layer.digest.slice(7, 19)}  ${size(bytes)}  ${counts.added} added, ${counts.changed} changed, ${counts.removed} removed`,
  );
  for (const { path, size: length } of files.sort((a, b) => b.size - a.size).slice(0, Number(values.top)))
    console.log(`  ${size(length)}  ${path}`);
}

const seen = [...tree.values()].reduce((sum, length) => sum + length, 0);
console.log(`${tree.size} files of ${size(seen).trim()} are seen in the end; ${size(wasted).trim()} lie hidden in lower layers`);
