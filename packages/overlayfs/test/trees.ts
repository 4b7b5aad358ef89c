// Looks at directory trees as tests compare them, and unpacks archives into them.
import { constants, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir } from '@ctr/internal/testing';
import { expect } from 'vitest';
import { type LayerForm, type LayerLimits, type LayerStats, mountLayer, openLayerWriter } from '../src/index.js';
import { layersAsFiles } from './needs.js';

export const isRoot = process.getuid?.() === 0;

/** Whether layers can be mounted as files where tests keep theirs: then every archive of the tests goes through both forms. */
const bothForms = layersAsFiles.ok;

export interface Inode {
  kind: string;
  mode: string;
  uid: number;
  gid: number;
  mtime: number;
  /** Of a file: its content; of a link: its target; of a device: its number. */
  content?: string;
  /** The first name of the same inode, when there are several. */
  linkOf?: string;
}

/** From the file type bits of st_mode; not as keys of an object, whose octal literals a formatter may rewrite. */
const KINDS = new Map([
  [constants.S_IFREG, 'file'],
  [constants.S_IFDIR, 'directory'],
  [constants.S_IFLNK, 'symlink'],
  [constants.S_IFCHR, 'character'],
  [constants.S_IFBLK, 'block'],
  [constants.S_IFIFO, 'fifo'],
]);

function inode(full: string): Inode {
  const s = lstatSync(full);
  const kind = KINDS.get(s.mode & constants.S_IFMT) ?? 'other';
  const out: Inode = { kind, mode: (s.mode & 0o7777).toString(8), uid: s.uid, gid: s.gid, mtime: Math.floor(s.mtimeMs / 1000) };
  if (kind === 'file') out.content = readFileSync(full, 'latin1');
  if (kind === 'symlink') out.content = readlinkSync(full);
  if (kind === 'character' || kind === 'block') out.content = String(s.rdev);
  return out;
}

/** Every name below `root`, its own not included. Names are latin1, so that any bytes can be told apart. */
export function tree(root: string): Map<string, Inode> {
  const out = new Map<string, Inode>();
  const seen = new Map<number, string>();
  const walk = (at: string): void => {
    for (const name of readdirSync(Buffer.from(path.join(root, at), 'latin1'), { encoding: 'latin1' }).sort()) {
      const below = path.join(at, name);
      const full = Buffer.from(path.join(root, below), 'latin1') as unknown as string;
      const facts = inode(full);
      const s = lstatSync(full);
      if (facts.kind !== 'directory' && s.nlink > 1) {
        const first = seen.get(s.ino);
        if (first === undefined) seen.set(s.ino, below);
        else facts.linkOf = first;
      }
      out.set(below, facts);
      if (facts.kind === 'directory') walk(below);
    }
  };
  walk('');
  return out;
}

export const names = (root: string): string[] => [...tree(root).keys()];

/** A directory outside of every root that nothing may touch. */
export class Canary {
  readonly directory = makeTempDir('canary');
  readonly secret = path.join(this.directory, 'secret');
  readonly #before: unknown;

  constructor() {
    writeFileSync(this.secret, 'untouched', { mode: 0o640 });
    writeFileSync(path.join(this.directory, 'victim'), 'untouched');
    mkdirSync(path.join(this.directory, 'sub'), { mode: 0o750 });
    this.#before = this.#state();
  }

  #state(): unknown {
    const stats = ['.', 'secret', 'victim', 'sub'].map((n) => {
      const s = lstatSync(path.join(this.directory, n));
      return [n, s.ino, s.nlink, s.mode, s.uid, s.gid, s.mtimeMs, s.ctimeMs];
    });
    return { stats, tree: [...tree(this.directory)] };
  }

  assertUntouched(): void {
    expect(this.#state()).toEqual(this.#before);
  }
}

export interface Unpacked {
  directory: string;
  stats: LayerStats;
}

interface UnpackOptions {
  step?: number;
  limits?: LayerLimits;
  userxattr?: boolean;
  /** Looks at one form only: for names that are too long to be looked at. */
  form?: LayerForm;
}

async function write(bytes: Uint8Array, o: UnpackOptions, form: LayerForm): Promise<Unpacked> {
  const directory = path.join(makeTempDir('layer'), 'fs');
  const writer = openLayerWriter(directory, { form, sync: false, userxattr: o.userxattr ?? !isRoot, limits: o.limits });
  const step = o.step ?? 65_536;
  for (let at = 0; at < bytes.length; at += step) await writer.write(bytes.subarray(at, at + step));
  return { directory, stats: await writer.end() };
}

/** Unpacks an archive into a new directory, in chunks of `step` bytes. Where both forms work they must show the same tree. */
export async function unpack(bytes: Uint8Array, o: UnpackOptions = {}): Promise<Unpacked> {
  const made = await write(bytes, o, o.form ?? 'dir');
  if (bothForms && o.form === undefined) {
    const { directory, stats } = await write(bytes, o, 'erofs');
    using mount = await mountLayer(directory);
    const [file, directories] = [tree(`/proc/self/fd/${mount.fd}/`), tree(made.directory)];
    forgetUnsaidTimes(file, directories);
    expect(file, 'the form erofs').toEqual(directories);
    expect(stats).toEqual(made.stats);
  }
  return made;
}

/** What the archive gives no time has none in an image, and that of its writing in a directory. */
function forgetUnsaidTimes(image: Map<string, Inode>, directories: Map<string, Inode>): void {
  for (const [name, node] of image) {
    if (node.mtime !== 0) continue;
    const other = directories.get(name);
    if (other !== undefined) node.mtime = other.mtime;
  }
}

/** The error that unpacking ends with, equal in both forms; the directory is gone then. */
export async function refusal(bytes: Uint8Array, limits?: LayerLimits): Promise<{ code: string; message: string }> {
  const error = await refused(bytes, limits, 'dir');
  const { code, message } = await refused(bytes, limits, 'erofs');
  const reason = (text: string): string => text.slice(text.indexOf('": ') + 3);
  expect({ code, message: reason(message) }, 'the form erofs').toEqual({ code: error.code, message: reason(error.message) });
  return error;
}

async function refused(bytes: Uint8Array, limits: LayerLimits | undefined, form: LayerForm): Promise<{ code: string; message: string }> {
  const parent = makeTempDir('refused');
  const writer = openLayerWriter(path.join(parent, 'fs'), { form, userxattr: !isRoot, limits });
  try {
    for (let at = 0; at < bytes.length; at += 1_000_000) await writer.write(bytes.subarray(at, at + 1_000_000));
    await writer.end();
  } catch (e) {
    expect(readdirSync(parent), 'nothing half-made remains').toEqual([]);
    return e as { code: string; message: string };
  }
  throw new Error('the archive was accepted');
}
