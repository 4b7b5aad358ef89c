// index.json: which images the store has. Other tools write it too, so entries that we do not understand are kept as they are.
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { Json } from '../document/json.js';
import { type Descriptor, readDescriptor } from '../document/manifest.js';
import { OCI_INDEX } from '../document/media-types.js';
import { isMissing, replaceFile, storeError, syncDirectory } from './files.js';
import type { Layout } from './layout.js';
import { INDEX_LOCK } from './leases.js';
import { withLock } from './lock.js';

/** SPEC(annotations): the name of an entry. We write the full reference; other tools often only a tag. */
export const REF_NAME = 'org.opencontainers.image.ref.name';

/** Images of one store: beyond this its index.json was not written by a sane program. */
const MAX_ENTRIES = 100_000;

type RawEntry = Record<string, unknown>;
type RawIndex = { manifests: RawEntry[] } & Record<string, unknown>;

interface Cached {
  signature: string;
  entries: readonly Descriptor[];
}

/** The entries of index.json, read again only after it was replaced: each writer makes a new file, so inode and times tell. */
export class IndexFile {
  readonly #layout: Layout;
  #cached: Cached | undefined;

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  /** The entries that we understand. */
  async entries(): Promise<readonly Descriptor[]> {
    try {
      const s = await stat(this.#layout.indexFile, { bigint: true });
      const signature = `${s.ino}.${s.size}.${s.mtimeNs}.${s.ctimeNs}`;
      if (this.#cached?.signature !== signature) this.#cached = { signature, entries: understood(await this.#read()) };
      return this.#cached.entries;
    } catch (error) {
      if (isMissing(error)) return [];
      throw storeError(error, 'read the index of the image store');
    }
  }

  /** The entry of a full reference. */
  async find(name: string): Promise<Descriptor | undefined> {
    return (await this.entries()).find((entry) => entry.annotations[REF_NAME] === name);
  }

  /** Lets a reference name this descriptor, instead of what it named before. What it points at must be in the store already. */
  async set(name: string, entry: Pick<Descriptor, 'mediaType' | 'digest' | 'size'>): Promise<void> {
    const raw = { mediaType: entry.mediaType, digest: entry.digest, size: entry.size, annotations: { [REF_NAME]: name } };
    // What the index names must be there after a power cut when the index is. It takes its time while the lock is taken.
    const synced = Promise.all(this.#directories().map(syncDirectory));
    synced.catch(() => undefined); // told below
    await this.#update(async (entries) => {
      const same = entries.filter((e) => nameOf(e) === name);
      if (same.length === 1 && same[0]?.['digest'] === entry.digest) return undefined;
      await synced;
      return [...entries.filter((e) => nameOf(e) !== name), raw];
    });
  }

  #directories(): string[] {
    const { blobs, layers } = this.#layout;
    return [blobs, layers].flatMap((d) => ['sha256', 'sha512'].map((algorithm) => path.join(d, algorithm)));
  }

  /** Drops a reference; false when there was none. */
  async delete(name: string): Promise<boolean> {
    let found = false;
    await this.#update(async (entries) => {
      const kept = entries.filter((e) => nameOf(e) !== name);
      found = kept.length < entries.length;
      return found ? kept : undefined;
    });
    return found;
  }

  async #update(change: (entries: RawEntry[]) => Promise<RawEntry[] | undefined>): Promise<void> {
    try {
      await withLock(this.#layout.locks, INDEX_LOCK, async () => {
        const index = await this.#read();
        const manifests = await change(index.manifests);
        if (manifests === undefined) return;
        const text = JSON.stringify({ ...index, manifests }, undefined, 2);
        await replaceFile(this.#layout.tempName('index.json'), this.#layout.indexFile, text, true);
        // Two writes within one tick of the file system's clock could look alike.
        this.#cached = undefined;
      });
    } catch (error) {
      throw storeError(error, 'update the index of the image store');
    }
  }

  async #read(): Promise<RawIndex> {
    const bytes = await readFile(this.#layout.indexFile).catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (bytes === undefined) return { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] };
    const json = Json.parse(bytes, this.#layout.indexFile).object();
    const manifests = json.get('manifests').array(MAX_ENTRIES);
    return { ...(json.value as Record<string, unknown>), manifests: manifests.map((entry) => entry.object().value as RawEntry) };
  }
}

const nameOf = (entry: RawEntry): unknown => (entry['annotations'] as RawEntry | null | undefined)?.[REF_NAME];

/** Entries with odd digests or fields are other tools' affair: not ours to use, not ours to drop. */
function understood(index: RawIndex): Descriptor[] {
  const json = Json.parse(Buffer.from(JSON.stringify(index.manifests)), 'index.json');
  return json.array(MAX_ENTRIES).flatMap((entry) => {
    try {
      return [readDescriptor(entry)];
    } catch {
      return [];
    }
  });
}
