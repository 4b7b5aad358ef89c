// Leases: what running work needs and index.json does not name yet. gc() leaves it alone; a dead owner's lease counts for nothing.
import { readdir, readFile, stat, unlink, utimes } from 'node:fs/promises';
import path from 'node:path';
import type { Digest } from '../digest.js';
import { isMissing, replaceFile, storeError } from './files.js';
import type { Layout } from './layout.js';
import { withLock } from './lock.js';
import { judge } from './owner.js';

export const INDEX_LOCK = 'index';

/** Of this process, not released yet. */
const running = new Set<string>();
const BEAT_MS = 10 * 60_000;
/** A lease of an owner out of sight that nobody has renewed for so long counts for nothing; long, as a machine may sleep. */
const STALE_MS = 24 * 3_600_000;
let beat: NodeJS.Timeout | undefined;

/** Renews the times of our leases, for processes in other pid namespaces, which cannot see whether we live. */
function renewLeases(): void {
  const now = new Date();
  for (const file of running) utimes(file, now, now).catch(() => undefined);
}

function keepRenewing(file: string): void {
  running.add(file);
  beat ??= setInterval(renewLeases, BEAT_MS).unref();
}

function stopRenewing(file: string): void {
  running.delete(file);
  if (running.size > 0) return;
  clearInterval(beat);
  beat = undefined;
}

/** Whether a lease still counts, by the owner in its name, else by its age. */
export async function isLive(directory: string, name: string): Promise<boolean> {
  const verdict = judge(name.slice(0, Math.max(0, name.indexOf('.'))));
  if (verdict !== 'out of sight') return verdict === 'alive';
  const found = await stat(path.join(directory, name)).catch(() => undefined);
  return found === undefined || Date.now() - found.mtimeMs < STALE_MS;
}

/** Keeps blobs and layers from gc() until released or until this process ends. */
export class Lease {
  readonly #layout: Layout;
  readonly #file: string;
  readonly #blobs = new Set<string>();
  readonly #layers = new Set<string>();
  #released = false;

  constructor(layout: Layout) {
    this.#layout = layout;
    this.#file = path.join(layout.leases, path.basename(layout.tempName('json')));
  }

  /**
   * Adds to what is kept. Taken under the lock of gc(): what is found in the store after this stays there.
   * A lease need not survive a power cut, so nothing is synced.
   */
  async add(what: { blobs?: Iterable<Digest>; layers?: Iterable<Digest> }): Promise<void> {
    const size = this.#blobs.size + this.#layers.size;
    for (const digest of what.blobs ?? []) this.#blobs.add(digest);
    for (const digest of what.layers ?? []) this.#layers.add(digest);
    if (this.#blobs.size + this.#layers.size === size) return;
    const content = JSON.stringify({ blobs: [...this.#blobs], layers: [...this.#layers] });
    try {
      await withLock(this.#layout.locks, INDEX_LOCK, () => replaceFile(this.#layout.tempName('lease'), this.#file, content, false));
      keepRenewing(this.#file);
    } catch (error) {
      throw storeError(error, 'note what the pull needs');
    }
  }

  /** The file that says so. A lease ends with its owner; whoever watches over the owner may remove the file then. */
  get file(): string {
    return this.#file;
  }

  /** What this lease keeps. */
  held(): { blobs: ReadonlySet<string>; layers: ReadonlySet<string> } {
    return { blobs: this.#blobs, layers: this.#layers };
  }

  /** Gives everything up; a second call does nothing. */
  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    stopRenewing(this.#file);
    await unlink(this.#file).catch((error: unknown) => {
      if (!isMissing(error)) throw storeError(error, 'release a lease of the image store');
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/** Everything that live leases hold. Call it with the lock held. */
export async function leased(layout: Layout): Promise<{ blobs: Set<string>; layers: Set<string> }> {
  const held = { blobs: new Set<string>(), layers: new Set<string>() };
  for (const name of await readdir(layout.leases)) {
    if (!(await isLive(layout.leases, name))) continue;
    const text = await readFile(path.join(layout.leases, name), 'utf8').catch((error: unknown) => {
      if (isMissing(error)) return '{}';
      throw error;
    });
    const { blobs = [], layers = [] } = JSON.parse(text) as { blobs?: string[]; layers?: string[] };
    for (const digest of blobs) held.blobs.add(digest);
    for (const digest of layers) held.layers.add(digest);
  }
  return held;
}
