// The images that are pulled, made once and pushed into a registry's folder: an ordinary one, many small files, one big file, zstd, a tiny one.
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ImageStore, packTar } from '../../packages/image/dist/index.js';
import { find } from '../scratch.mjs';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** docker-registry on 127.0.0.1 with its content in `data`. */
export async function startRegistry(data) {
  const address = '127.0.0.1:5000';
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const host = address.replace('5000', `${port}`);
  const config = path.join(data, `registry-${port}.yml`);
  writeFileSync(
    config,
    `version: 0.1\nlog: { level: error, accesslog: { disabled: true } }\nstorage: { filesystem: { rootdirectory: ${data}/registry } }\nhttp: { addr: '${host}' }\n`,
  );
  const child = spawn(find('docker-registry'), ['serve', config], { stdio: 'ignore' });
  for (let i = 0; i < 100; i++) {
    const up = await fetch(`http://${host}/v2/`).then(
      (r) => r.ok,
      () => false,
    );
    if (up) return { host, child };
    await sleep(50);
  }
  child.kill();
  throw new Error('docker-registry did not start');
}

/** Small files of this repository's own dependencies, under other names until there are `count`. */
async function* manyFiles(count) {
  const found = [];
  const walk = (dir) => {
    for (const e of readdirSync(dir, { withFileTypes: true })) {
      const file = path.join(dir, e.name);
      if (e.isDirectory()) walk(file);
      else if (e.isFile() && statSync(file).size < 16_384) found.push(file);
    }
  };
  walk(path.join(repository, 'node_modules/.pnpm'));
  for (let i = 0; i < count; i++) {
    const from = found[i % found.length];
    yield { type: 'file', path: `app/node_modules/p${Math.floor(i / 30)}/f${i}${path.extname(from)}`, content: readFileSync(from) };
  }
}

/** One file of `bytes`: this Node's own binary again and again, which no compressor's window can hold. */
function bigFile(data, bytes) {
  const file = path.join(data, 'big');
  const node = readFileSync(process.execPath);
  writeFileSync(file, '');
  for (let left = bytes; left > 0; left -= node.length) appendFileSync(file, node.subarray(0, left));
  return [{ type: 'file', path: 'big', source: file }];
}

const base = () => packTar([{ type: 'file', path: 'bin/busybox', content: readFileSync(find('busybox')), mode: 0o755 }]);

/** Layers are left to skopeo to compress, as any builder does at its default level. */
export async function prepare(data, ordinary) {
  mkdirSync(path.join(data, 'registry'), { recursive: true });
  const policy = path.join(data, 'policy.json');
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
  const { host, child } = await startRegistry(data);
  try {
    const copy = (from, to, ...more) =>
      execFileSync('skopeo', ['--policy', policy, 'copy', '-q', '--dest-tls-verify=false', '--src-tls-verify=false', ...more, from, to]);
    const root = path.join(data, 'made');
    const store = await ImageStore.open({ root });
    const make = async (name, layers) => {
      await store.create({ reference: `localhost/${name}:1`, layers, compression: 'none', config: { Cmd: ['/bin/busybox', 'true'] } });
      copy(`oci:${root}:localhost/${name}:1`, `docker://${host}/${name}:1`);
    };
    await make('tiny', [base()]);
    await make('files', [base(), packTar(manyFiles(28_700))]);
    copy(`docker://${host}/files:1`, `docker://${host}/zstd:1`, '--dest-compress-format=zstd', '--format=oci');
    await make('big', [base(), packTar(bigFile(data, 512 * 2 ** 20))]);
    if (existsSync(ordinary)) copy(`oci:${ordinary}`, `docker://${host}/ordinary:1`);
  } finally {
    child.kill();
  }
}
