// Reads counted bytes from a stream of chunks.
import { Pacer } from './pacer.js';

export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #pacer = new Pacer();
  #chunks: Uint8Array[] = [];
  #available = 0;
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Exactly `length` bytes in one piece; fewer only at the end of the stream. */
  async read(length: number): Promise<Uint8Array> {
    await this.#fill(length);
    return this.#take(Math.min(length, this.#available));
  }

  /** Passes over `length` bytes; false when the stream ended before. */
  async skip(length: number): Promise<boolean> {
    for (let left = length; left > 0; ) {
      const { length: got } = await this.read(Math.min(left, 65_536));
      if (got === 0) return false;
      left -= got;
    }
    return true;
  }

  /** Ends the source, also when it was not read to its end. */
  async close(): Promise<void> {
    this.#chunks = [];
    await this.#source.return?.();
  }

  async #fill(length: number): Promise<void> {
    // Reading what is there already resolves at once: without a pause a loop over tiny pieces would never let others run.
    if (this.#pacer.due()) await this.#pacer.rest();
    while (this.#available < length && !this.#ended) {
      const next = await this.#source.next();
      if (next.done) this.#ended = true;
      else if (next.value.length > 0) {
        this.#chunks.push(next.value);
        this.#available += next.value.length;
      }
    }
  }

  #take(length: number): Uint8Array {
    const parts: Uint8Array[] = [];
    for (let left = length; left > 0; ) {
      const first = this.#chunks[0] as Uint8Array;
      const part = first.subarray(0, left);
      parts.push(part);
      left -= part.length;
      if (part.length === first.length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(part.length);
    }
    this.#available -= length;
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts, length);
  }
}
