// How much room the store takes, and for what.
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import { throwIfAborted } from '../abort.js';
import type { StoreContext } from '../context.js';
import { isDigest } from '../digest.js';
import { treeOf } from '../tree.js';
import { isMissing, storeError } from './files.js';
import { marksOf } from './gc.js';
import { REF_NAME } from './index-file.js';

/** What the store takes up. */
export interface StoreUsage {
  images: ImageUsage[];
  blobs: RoomTaken;
  /** Unpacked layers, in all forms. */
  layers: RoomTaken;
  /** Unfinished work, and what dead processes left. */
  temporary: RoomTaken;
}

export interface RoomTaken {
  count: number;
  /** Bytes on disk: whole blocks, hard links once, holes not at all. */
  bytes: number;
  /** Of these, what `gc()` would free. */
  reclaimable: number;
}

export interface ImageUsage {
  reference: string;
  /** Bytes of its blobs. */
  bytes: number;
  /** Of these, what no other image has: removing this image and `gc()` frees so much, and its unpacked layers. */
  unique: number;
}

/** Walks over everything: a second for each 10^5 unpacked files. */
export async function usageOf(context: StoreContext, signal: AbortSignal): Promise<StoreUsage> {
  const { layout } = context;
  try {
    const marks = await marksOf(context);
    const [blobs, layers, temporary, images] = await Promise.all([
      measure(layout.blobs, marks.blobs, signal),
      measure(layout.layers, marks.layers, signal),
      roomOf(layout.temp, signal),
      imagesOf(context),
    ]);
    return { images, blobs, layers, temporary: { count: temporary.files, bytes: temporary.bytes, reclaimable: 0 } };
  } catch (error) {
    throw storeError(error, 'measure the image store');
  }
}

async function measure(directory: string, used: ReadonlySet<string>, signal: AbortSignal): Promise<RoomTaken> {
  const taken: RoomTaken = { count: 0, bytes: 0, reclaimable: 0 };
  for (const algorithm of await readdir(directory)) {
    for (const name of await readdir(path.join(directory, algorithm))) {
      const { bytes } = await roomOf(path.join(directory, algorithm, name), signal);
      const digest = `${algorithm}:${name.split('.', 1)[0]}`;
      taken.count++;
      taken.bytes += bytes;
      if (isDigest(digest) && !used.has(digest)) taken.reclaimable += bytes;
    }
  }
  return taken;
}

const SLASH = Buffer.from('/');

/** What goes away while we look takes no room. Names are bytes: images hold any. */
async function roomOf(file: string | Buffer, signal: AbortSignal, seen = new Set<string>()): Promise<{ files: number; bytes: number }> {
  try {
    throwIfAborted(signal, 'measure the image store');
    const stat = await lstat(file);
    const key = `${stat.dev}.${stat.ino}`;
    let bytes = seen.has(key) ? 0 : stat.blocks * 512;
    if (stat.nlink > 1 && !stat.isDirectory()) seen.add(key);
    if (!stat.isDirectory()) return { files: 1, bytes };
    let files = 0;
    for (const name of await readdir(file, { encoding: 'buffer' })) {
      const below = await roomOf(Buffer.concat([Buffer.from(file as string), SLASH, name]), signal, seen);
      files += below.files;
      bytes += below.bytes;
    }
    return { files, bytes };
  } catch (error) {
    if (isMissing(error)) return { files: 0, bytes: 0 };
    throw error;
  }
}

async function imagesOf(context: StoreContext): Promise<ImageUsage[]> {
  const owners = new Map<string, { size: number; names: Set<number> }>();
  const entries = await context.index.entries();
  for (const [i, entry] of entries.entries()) {
    const tree = await treeOf(context, entry, 'an image', { partial: true }).catch(() => undefined);
    const parts = [...(tree?.blobs ?? [])].map(([digest, { size }]) => [digest, size] as const);
    for (const [digest, size] of [...parts, ...(tree?.documents ?? []).map((d) => [d.digest, d.bytes.length] as const)]) {
      const owner = owners.get(digest) ?? { size, names: new Set() };
      owner.names.add(i);
      owners.set(digest, owner);
    }
  }
  return entries.map((entry, i) => {
    const own = [...owners.values()].filter(({ names }) => names.has(i));
    const sum = (list: typeof own): number => list.reduce((total, { size }) => total + size, 0);
    return { reference: entry.annotations[REF_NAME] ?? entry.digest, bytes: sum(own), unique: sum(own.filter((o) => o.names.size === 1)) };
  });
}
