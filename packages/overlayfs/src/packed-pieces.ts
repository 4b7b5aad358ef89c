// An archive that the addon makes, as a stream.
import { AbortError, UnsupportedError } from '@ctr/internal/errors';
import { errorOf } from './layer-error.js';
import type { PackHandle } from './native.js';

const CHUNK = 256 * 1024;

/** The next piece is made while the last one is used. */
export async function* packedPieces(handle: PackHandle, doing: string, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  const ask = (): Promise<Buffer | null> => {
    const piece = handle.next(CHUNK);
    piece.catch(() => undefined); // told when it is awaited
    return piece;
  };
  let ahead = ask();
  try {
    for (;;) {
      const piece = await ahead.catch((e) => {
        throw packError(e, doing);
      });
      if (signal?.aborted) throw new AbortError(doing, signal.reason);
      if (piece === null) return;
      ahead = ask();
      yield piece;
    }
  } finally {
    await ahead.catch(() => undefined);
    handle.close();
  }
}

/** A renamed directory or a file without its content cannot be understood from an upper alone. */
function packError(e: unknown, doing: string): Error {
  const { reason, entry } = e as { reason?: string; entry?: string };
  if (reason !== 'redirect' && reason !== 'metacopy') return errorOf(e, doing);
  const needs = 'an overlay mounted without redirectDir and metacopy';
  return new UnsupportedError(`the changes of an upper with overlay's "${reason}"`, needs, undefined, {
    hint: `${JSON.stringify(entry)} has it`,
  });
}
