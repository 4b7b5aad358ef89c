// Makes an image of a folder, or of another image and a folder on top, and pushes it.
// node index.mjs FOLDER NAME [--base=IMAGE] [--command=PROGRAM] [--insecure]
// Credentials are those of "docker login"; REGISTRY_USER and REGISTRY_PASSWORD win over them.
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ImageStore } from '@ctr/image';
import { packDirectory } from '@ctr/overlayfs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { base: { type: 'string' }, command: { type: 'string' }, insecure: { type: 'boolean' } },
});
const [folder, reference] = positionals;
if (folder === undefined || reference === undefined) throw new Error('usage: index.mjs FOLDER NAME [--base=IMAGE] [--command=PROGRAM]');

const { REGISTRY_USER: username, REGISTRY_PASSWORD: password } = process.env;
const registry = { insecure: values.insecure ?? false, ...(username && password ? { auth: { username, password } } : {}) };
const store = await ImageStore.open();

// The same files give the same digest, whoever has them and whenever they were made.
const files = packDirectory(path.resolve(folder), { owner: { uid: 0, gid: 0 }, mtime: 0 });
const config = values.command ? { Cmd: [values.command] } : {};
const image = values.base
  ? await store.commit(await store.pull(values.base, { insecure: values.insecure ?? false }), { reference, changes: files, config })
  : await store.create({ reference, layers: [files], config });

const pushed = await store.push(reference, registry);
console.log(`${pushed.reference}@${pushed.digest}`);
console.log(
  `${image.layers.length} layers: ${pushed.uploaded} blobs sent (${(pushed.bytes / 1e6).toFixed(1)} MB), ` +
    `${pushed.mounted} mounted, ${pushed.existing} there already`,
);
