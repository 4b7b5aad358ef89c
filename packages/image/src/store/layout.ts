// Where things lie in a store: an OCI image layout that other tools read, and beside it what only we need.
//
//   oci-layout, index.json        SPEC(image-layout); index.json names each image by its full reference
//   blobs/<algorithm>/<hex>       manifests, configs, compressed layers, byte-exact
//   layers/<algorithm>/<hex>/fs/  unpacked layers by diffID; beside fs/ lies layer.json with what the sink said of it. The level
//                                 between lets a tree with a read-only root be published by rename
//   tmp/<owner>.<random>.<what>   unfinished work; leases/ what running work needs; lock/ the lock of index.json
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { ImageError, InvalidArgumentError } from '@ctr/internal/errors';
import { type Digest, splitDigest } from '../digest.js';
import { Json } from '../document/json.js';
import { isMissing, replaceFile, storeError } from './files.js';
import { ownerToken } from './owner.js';

const ALGORITHMS = ['sha256', 'sha512'];
export const LAYOUT_VERSION = '{"imageLayoutVersion":"1.0.0"}';

/** The paths of one store. Only `Digest` values and our own random names become parts of them. */
export class Layout {
  readonly root: string;
  readonly indexFile: string;
  readonly temp: string;
  readonly leases: string;
  readonly locks: string;
  readonly blobs: string;
  readonly layers: string;

  constructor(root: string) {
    this.root = root;
    this.indexFile = path.join(root, 'index.json');
    this.temp = path.join(root, 'tmp');
    this.leases = path.join(root, 'leases');
    this.locks = path.join(root, 'lock');
    this.blobs = path.join(root, 'blobs');
    this.layers = path.join(root, 'layers');
  }

  blob(digest: Digest): string {
    const { algorithm, hex } = splitDigest(digest);
    return path.join(this.blobs, algorithm, hex);
  }

  /** The directory of an unpacked layer; its files are in `fs` below. Sinks that make other forms of one content do not share. */
  layer(diffId: Digest, form: string | undefined): string {
    const { algorithm, hex } = splitDigest(diffId);
    return path.join(this.layers, algorithm, form === undefined ? hex : `${hex}.${form}`);
  }

  /** A new name for unfinished work: the owner in it lets a later process tell what was left behind. */
  tempName(what: string): string {
    return path.join(this.temp, `${ownerToken()}.${randomBytes(6).toString('hex')}.${what}`);
  }
}

/** `/var/lib/ctr` for root, else `$XDG_DATA_HOME/ctr` or `~/.local/share/ctr`; CTR_ROOT overrides both. */
export function defaultRoot(env: NodeJS.ProcessEnv = process.env, uid: number | undefined = process.geteuid?.()): string {
  if (env['CTR_ROOT']) return env['CTR_ROOT'];
  if (uid === 0) return '/var/lib/ctr';
  // SPEC(basedir): a relative XDG_DATA_HOME is to be ignored.
  const data = env['XDG_DATA_HOME'];
  return path.join(data && path.isAbsolute(data) ? data : path.join(homedir(), '.local/share'), 'ctr');
}

/** Makes the directories of a store, or checks those that are there. */
export async function openLayout(root: string): Promise<Layout> {
  const layout = new Layout(path.resolve(root));
  try {
    await makeDirectories(layout);
    await ensureLayoutFile(layout);
    return layout;
  } catch (error) {
    throw storeError(error, 'open the image store');
  }
}

async function makeDirectories(layout: Layout): Promise<void> {
  await makeDirectory(layout.root);
  const [names, { mode }] = await Promise.all([refuseForeign(layout), stat(layout.root)]);
  // SECURITY: images hold setuid files; no other user of the host may reach them (CVE-2021-41091).
  if ((mode & 0o077) !== 0) await chmod(layout.root, 0o700);
  const above = [layout.temp, layout.leases, layout.locks, layout.blobs, layout.layers].filter((d) => !names.includes(path.basename(d)));
  await Promise.all(above.map(makeDirectory));
  const below = [layout.blobs, layout.layers].flatMap((d) => ALGORITHMS.map((a) => path.join(d, a)));
  await Promise.all(below.map(makeDirectory));
}

/** Not `recursive: true`: in file systems where nothing can be made, such as /proc, that never returns (libuv asks in a circle). */
async function makeDirectory(directory: string): Promise<void> {
  const missing = await makeOne(directory);
  if (missing === undefined) return;
  if (path.dirname(directory) === directory) throw missing;
  await makeDirectory(path.dirname(directory));
  const again = await makeOne(directory);
  if (again !== undefined) throw again;
}

/** Undefined when it is there afterwards, whoever made it; the error when its parent is missing. */
async function makeOne(directory: string): Promise<unknown> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return error;
    if (code !== 'EEXIST') throw error;
  }
  return undefined;
}

/** A directory with other things in it is most likely a mistake: gc() would tidy up in it. Returns what is there. */
async function refuseForeign(layout: Layout): Promise<string[]> {
  const names = await readdir(layout.root);
  const ours = ['oci-layout', 'index.json', 'blobs', 'layers', 'tmp', 'leases', 'lock', 'lost+found'];
  if (names.includes('oci-layout') || names.every((name) => ours.includes(name))) return names;
  throw new InvalidArgumentError('root', 'an image store, an OCI image layout, or an empty or new directory', layout.root);
}

async function ensureLayoutFile(layout: Layout): Promise<void> {
  const file = path.join(layout.root, 'oci-layout');
  try {
    checkLayoutVersion(await readFile(file), file);
  } catch (error) {
    if (!isMissing(error)) throw error;
    await replaceFile(layout.tempName('oci-layout'), file, LAYOUT_VERSION, false);
  }
}

/** Refuses a layout whose version we do not know. */
export function checkLayoutVersion(bytes: Uint8Array, where: string): void {
  const version = Json.parse(bytes, where).object().get('imageLayoutVersion').string();
  if (!version.startsWith('1.'))
    throw new ImageError('CTR_IMAGE_INVALID', `${where} has the layout version ${JSON.stringify(version.slice(0, 20))}, known is 1.0.0`);
}
