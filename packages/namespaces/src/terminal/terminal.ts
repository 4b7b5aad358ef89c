// Node's end of a terminal, as a stream: nothing that the program wrote is lost, and nothing here ever waits.
import { readSync, writeSync } from 'node:fs';
import { Duplex } from 'node:stream';
import { Fd } from '@ctr/internal/fd';
import { callNative, closeFds, type FdWatcher, NATIVE_FDS, native } from '../native.js';
import { checkSize } from './size.js';

const CHUNK = 16 * 1024;
const END_OF_FILE = Buffer.from([4]);

/** Closes what nobody closed once its object is gone. */
const forgotten = new FinalizationRegistry<number[]>(closeFds);

/** What is still to be written. */
interface Pending {
  chunk: Buffer;
  done: (error?: Error | null) => void;
}

const codeOf = (e: unknown): string | undefined => (e as NodeJS.ErrnoException).code;

/**
 * The terminal of a program: what it prints is read here, what is written here is typed at it.
 *
 * It ends when the program has ended and all that was printed until then was read; what the program left running on it
 * gets a hangup then, as when the window of a terminal is closed. `end()` types Control-D, the end of file of a terminal
 * in its usual mode.
 *
 * @see <https://man7.org/linux/man-pages/man7/pty.7.html>
 */
export class Terminal extends Duplex {
  /** The master's descriptor, owned by this stream: it does not block. */
  readonly fd: Fd;
  /**
   * The other end is kept open here until all is read: a terminal that nobody has open reads as an error, also when the
   * program only closed it for a moment.
   */
  readonly #slave: Fd;
  #watcher: FdWatcher | undefined;
  #columns: number;
  #rows: number;
  #reading = false;
  #pending: Pending | undefined;
  #programEnded = false;
  #referenced = true;

  /** @internal Takes both descriptors. */
  constructor(master: number, slave: number, size: { columns: number; rows: number }) {
    super({ allowHalfOpen: false, readableHighWaterMark: CHUNK * 4 });
    this.fd = Fd.of(master, NATIVE_FDS);
    this.#slave = Fd.of(slave, NATIVE_FDS);
    this.#columns = size.columns;
    this.#rows = size.rows;
    forgotten.register(this, [master, slave], this);
  }

  /** Characters in a line, as last set from here. */
  get columns(): number {
    return this.#columns;
  }

  /** Lines, as last set from here. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Tells the program a new size (TIOCSWINSZ); its foreground processes get SIGWINCH when it differs. Does nothing once
   * the terminal is closed.
   *
   * @param columns 1 to 65535.
   * @param rows 1 to 65535.
   * @throws InvalidArgumentError CTR_INVALID_ARGUMENT
   */
  resize(columns: number, rows: number): void {
    checkSize({ columns, rows }, '');
    this.#columns = columns;
    this.#rows = rows;
    if (!this.fd.closed) callNative('resize the terminal', (b) => b.setWindowSize(this.fd.fd, columns, rows));
  }

  /** Reading keeps Node's event loop going; the default. */
  ref(): this {
    this.#referenced = true;
    this.#watcher?.setRef(true);
    return this;
  }

  /** Lets Node end while somebody waits for output. */
  unref(): this {
    this.#referenced = false;
    this.#watcher?.setRef(false);
    return this;
  }

  /** @internal The program has ended: the stream does when it is empty. */
  programEnded(): void {
    this.#programEnded = true;
    if (this.#reading) this.#readAll();
  }

  override _read(): void {
    this.#reading = true;
    // With the program gone nothing more can come: what is there is all there is.
    if (this.#programEnded) this.#readAll();
    else this.#watch();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#pending = { chunk, done };
    this.#writeSome();
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#programEnded || this.destroyed) done();
    else this._write(END_OF_FILE, 'latin1', done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    forgotten.unregister(this);
    this.#watcher?.close();
    this.#watcher = undefined;
    const waiting = this.#pending;
    this.#pending = undefined;
    this.#slave.close();
    this.fd.close();
    done(error);
    // A program that does not read to its end is no failure of this one.
    waiting?.done();
  }

  #watch(): void {
    const wanted = this.#reading || this.#pending !== undefined;
    if (!wanted && this.#watcher === undefined) return;
    if (this.#watcher === undefined) {
      const Watcher = native().FdWatcher;
      this.#watcher = new Watcher(this.fd.fd, (readable, writable) => this.#onReady(readable, writable));
      if (!this.#referenced) this.#watcher.setRef(false);
    }
    this.#watcher.watch(this.#reading, this.#pending !== undefined);
  }

  #onReady(readable: boolean, writable: boolean): void {
    if (writable && this.#pending !== undefined) this.#writeSome();
    if (readable && this.#reading && !this.#readSome() && this.#programEnded) this.#finish();
    if (!this.destroyed && !this.readableEnded) this.#watch();
  }

  /** One chunk, of as many reads as it takes: the kernel gives 4 KiB at a time. True when something was read. */
  #readSome(): boolean {
    const buffer = Buffer.allocUnsafe(CHUNK);
    let size = 0;
    try {
      const binding = native();
      do size += readSync(this.fd.fd, buffer, size, CHUNK - size, null);
      while (size < CHUNK && binding.readable(this.fd.fd));
    } catch (e) {
      // EAGAIN: nothing yet. EIO: hung up, as by vhangup(2) inside.
      if (codeOf(e) === 'EIO') this.#programEnded = true;
      else if (codeOf(e) !== 'EAGAIN') this.destroy(e as Error);
    }
    if (size > 0) this.#reading = this.push(buffer.subarray(0, size));
    return size > 0;
  }

  /** Until the reader has enough, or there is no more. */
  #readAll(): void {
    while (this.#reading && !this.destroyed)
      if (!this.#readSome()) {
        this.#finish();
        return;
      }
    if (!this.destroyed) this.#watcher?.watch(false, this.#pending !== undefined);
  }

  #finish(): void {
    this.#reading = false;
    this.#watcher?.watch(false, false);
    const waiting = this.#pending;
    this.#pending = undefined;
    waiting?.done();
    this.push(null);
  }

  #writeSome(): void {
    const { chunk, done } = this.#pending as Pending;
    this.#pending = undefined;
    try {
      const rest = chunk.subarray(writeSync(this.fd.fd, chunk));
      if (rest.length > 0) this.#pending = { chunk: rest, done };
      else done();
    } catch (e) {
      // EIO: nobody has it open any more, which is the end of a program and no failure here.
      if (codeOf(e) === 'EAGAIN') this.#pending = { chunk, done };
      else done(codeOf(e) === 'EIO' ? null : (e as Error));
    }
    if (this.#pending !== undefined) this.#watch();
  }
}
