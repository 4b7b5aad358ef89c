// What the parts of a store share within one process.
import { AbortError } from '@ctr/internal/errors';
import type { Digest } from './digest.js';
import { IdleLines } from './registry/idle-lines.js';
import type { Sources } from './registry/sources.js';
import { TokenCache } from './registry/token.js';
import { SingleFlight } from './single-flight.js';
import { IndexFile } from './store/index-file.js';
import type { Layout } from './store/layout.js';

/** How far a pull or push is. */
export type PullProgress = TransferProgress | WaitProgress;

/** What was done. */
export interface TransferProgress {
  /**
   * `resolve`: the manifest is known, `total` is the sum of all layers. `download`, `unpack` and `upload`: one layer moved on.
   * `done`: a layer, or at the very end the image, is complete.
   */
  type: 'resolve' | 'download' | 'unpack' | 'upload' | 'done';
  /** Of the manifest in `resolve` and the last `done`, else of the layer's blob. */
  digest: Digest;
  /** Bytes so far: compressed ones in `download` and `upload`, uncompressed ones in `unpack`. */
  bytes: number;
  /** Bytes in all; `undefined` in `unpack`, where nobody knows. */
  total: number | undefined;
}

/** The registry is busy, or could not be reached: it is asked again after a pause that begins now. */
export interface WaitProgress {
  type: 'wait';
  /** Nothing moved on. */
  digest: undefined;
  bytes: 0;
  total: undefined;
  /** What the registry said, or what failed. */
  reason: string;
  /** Length of the pause in milliseconds. */
  ms: number;
}

export type Emit = (progress: PullProgress) => void;

/** Tells of pauses as progress. */
export const waitsTo =
  (emit: Emit) =>
  ({ what, ms }: { what: string; ms: number }): void =>
    emit({ type: 'wait', digest: undefined, bytes: 0, total: undefined, reason: what, ms });

export interface StoreContext {
  readonly layout: Layout;
  readonly index: IndexFile;
  readonly flights: SingleFlight<PullProgress>;
  readonly tokens: TokenCache;
  readonly lines: IdleLines;
}

/** Of all stores of this process: what a registry answers does not depend on where it is put. */
const lines = new IdleLines();

/** Stores opened twice on one directory share their running work. */
const contexts = new Map<string, StoreContext>();

export function contextFor(layout: Layout): StoreContext {
  const known = contexts.get(layout.root);
  if (known !== undefined) return known;
  const made = {
    layout,
    index: new IndexFile(layout),
    flights: new SingleFlight<PullProgress>(),
    tokens: new TokenCache(),
    lines,
  };
  contexts.set(layout.root, made);
  return made;
}

/** Where a pull gets blobs from that the store lacks. */
export type Remote = Sources;

/** Runs work over items, at most `bound` at once. The first failure stops the others and is thrown when all have ended. */
export async function inParallel<T>(
  items: readonly T[],
  bound: number,
  signal: AbortSignal,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const abort = (): void => stop.abort(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  const queue = [...items];
  const failures: unknown[] = [];
  const lane = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined && !stop.signal.aborted; item = queue.shift()) {
      try {
        await work(item, stop.signal);
      } catch (error) {
        failures.push(error);
        stop.abort(new Error('another part failed'));
      }
    }
  };
  await Promise.all(Array.from({ length: bound }, lane));
  signal.removeEventListener('abort', abort);
  if (signal.aborted) throw failures.find((e) => e instanceof AbortError) ?? new AbortError('the work on an image', signal.reason);
  if (failures.length > 0) throw failures[0];
}
