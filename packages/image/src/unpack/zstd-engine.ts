// Where zstd blocks are decoded when node:zlib cannot: on a thread of its own, as fzstd takes some milliseconds for each block and would
// hold up the event loop; on this one where a bundler has made the module unfindable.
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { Decompress } from 'fzstd';
import { Pacer } from './pacer.js';

/** Decodes frames one after the other. */
export interface ZstdEngine {
  /** The next blocks belong to a new frame with this header. */
  begin(header: Uint8Array): void;
  /** Decodes whole blocks; `last` ends the frame. One call at a time. */
  push(blocks: readonly Uint8Array[], last: boolean): Promise<Uint8Array[]>;
  close(): Promise<void>;
}

/** Runs in the thread: plain CommonJS, as there is no file of it to load. */
const THREAD = `
const { parentPort, workerData } = require('node:worker_threads');
const { Decompress } = require(workerData);
let decoder;
let out;
parentPort.on('message', ({ header, data, last }) => {
  out = [];
  try {
    if (header) {
      decoder = new Decompress((chunk) => { if (chunk.length > 0) out.push(chunk); });
      decoder.push(header);
    }
    decoder.push(data, last);
    const whole = new Uint8Array(out.reduce((sum, chunk) => sum + chunk.length, 0));
    let at = 0;
    for (const chunk of out) { whole.set(chunk, at); at += chunk.length; }
    parentPort.postMessage({ whole }, [whole.buffer]);
  } catch (error) {
    parentPort.postMessage({ error: String(error && error.message) });
  }
});`;

type Answer = { whole: Uint8Array; error?: undefined } | { error: string };

/** An engine on a thread, or on this one when that cannot be. */
export function openEngine(): ZstdEngine {
  let module: string;
  try {
    module = createRequire(import.meta.url).resolve('fzstd');
  } catch {
    return new LocalEngine();
  }
  return new ThreadEngine(module);
}

class ThreadEngine implements ZstdEngine {
  readonly #worker: Worker;
  #header: Uint8Array | undefined;
  #failure: Error | undefined;
  #waiting: { resolve(chunks: Uint8Array[]): void; reject(error: Error): void } | undefined;

  constructor(module: string) {
    // Nothing of how this process was started is for the thread: with --input-type=module it would not even be read.
    this.#worker = new Worker(THREAD, { eval: true, workerData: module, execArgv: [], env: {} });
    this.#worker.on('message', (answer: Answer) => {
      if (answer.error === undefined) this.#waiting?.resolve(answer.whole.length > 0 ? [answer.whole] : []);
      else this.#waiting?.reject(new Error(answer.error));
    });
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('the thread that decodes zstd has ended')));
  }

  begin(header: Uint8Array): void {
    this.#header = header;
  }

  push(blocks: readonly Uint8Array[], last: boolean): Promise<Uint8Array[]> {
    // A buffer of its own, which can be handed over: blocks are cut out of larger ones.
    const data = new Uint8Array(blocks.reduce((sum, block) => sum + block.length, 0));
    let at = 0;
    for (const block of blocks) {
      data.set(block, at);
      at += block.length;
    }
    const header = this.#header && Uint8Array.from(this.#header);
    this.#header = undefined;
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#waiting = { resolve, reject };
      this.#worker.postMessage({ header, data, last }, [data.buffer]);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiting?.reject(this.#failure);
  }
}

/** A block at a time, with pauses. */
export class LocalEngine implements ZstdEngine {
  readonly #pacer = new Pacer();
  #decoder = new Decompress();
  #out: Uint8Array[] = [];

  begin(header: Uint8Array): void {
    this.#decoder = new Decompress((chunk) => {
      if (chunk.length > 0) this.#out.push(chunk);
    });
    this.#decoder.push(header);
  }

  async push(blocks: readonly Uint8Array[], last: boolean): Promise<Uint8Array[]> {
    this.#out = [];
    for (const [i, block] of blocks.entries()) {
      this.#decoder.push(block, last && i === blocks.length - 1);
      if (this.#pacer.due()) await this.#pacer.rest();
    }
    return this.#out;
  }

  async close(): Promise<void> {}
}
