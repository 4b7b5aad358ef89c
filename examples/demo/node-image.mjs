// A real OCI image out of this machine's own Node: the binary, its loader and its shared libraries in one layer, the
// programs of the tour in another.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { packTar } from '@ctr/image';

const NODE = '/usr/local/bin/node';
const INSIDE = fileURLToPath(new URL('./inside/', import.meta.url));

/** What ldd names: '/lib64/ld-linux-x86-64.so.2' and 'libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6'. */
function sharedLibraries(program) {
  const text = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...new Set([...text.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((m) => m[1]))];
}

/** Parents first, each once. */
function parents(files) {
  const all = new Set();
  for (const file of files) {
    for (let dir = path.dirname(file); dir !== '/'; dir = path.dirname(dir)) all.add(dir);
  }
  return [...all].sort().map((dir) => ({ type: 'directory', path: dir }));
}

function nodeEntries(node, libraries) {
  const files = [
    { type: 'file', path: NODE, source: node, mode: 0o755 },
    ...libraries.map((file) => ({ type: 'file', path: file, source: realpathSync(file), mode: 0o755 })),
  ];
  const account = [
    { type: 'file', path: '/etc/passwd', content: 'root:x:0:0:root:/root:/bin/false\nguest:x:1000:1000::/home/guest:/bin/false\n' },
    { type: 'file', path: '/etc/group', content: 'root:x:0:\nguest:x:1000:\n' },
  ];
  return [...parents([NODE, ...libraries, '/etc/passwd', '/tmp/x']), ...files, ...account];
}

const programEntries = () => [
  { type: 'directory', path: '/app' },
  ...readdirSync(INSIDE)
    .sort()
    .map((name) => ({ type: 'file', path: `/app/${name}`, content: readFileSync(path.join(INSIDE, name)) })),
];

/** The same Node and the same programs give the same name, so that the image is made once. */
function tagOf(node, libraries) {
  const hash = createHash('sha256');
  for (const file of [node, ...libraries]) hash.update(`${file} ${statSync(file).size} ${statSync(file).mtimeMs}\n`);
  for (const entry of programEntries()) hash.update(`${entry.path}\n`).update(entry.content ?? '');
  return `${process.version}-${hash.digest('hex').slice(0, 12)}`;
}

/** Makes the image, or finds it. */
export async function nodeImage(store) {
  const node = realpathSync(process.execPath);
  const libraries = sharedLibraries(node);
  const reference = `localhost/ctr-demo/node:${tagOf(node, libraries)}`;
  const bytes = [node, ...libraries].reduce((sum, file) => sum + lstatSync(realpathSync(file)).size, 0);
  const facts = { reference, node, libraries: libraries.length, bytes };
  const known = await store.find(reference);
  if (known !== undefined) return { ...facts, image: known, made: false };
  const image = await store.create({
    reference,
    layers: [packTar(nodeEntries(node, libraries)), packTar(programEntries())],
    config: { Entrypoint: [NODE], Cmd: ['/app/look-around.mjs'], WorkingDir: '/app', Env: ['NODE_ENV=production'] },
    compression: 'none',
  });
  return { ...facts, image, made: true };
}
