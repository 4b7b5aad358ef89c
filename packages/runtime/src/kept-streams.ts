// The streams of a running process as its owner sees them. At the end of the process what nobody has read yet is taken
// out of the pipes, so that descriptors last as long as processes do, and not as long as objects.
import { PassThrough, type Readable, type Writable } from 'node:stream';
import type { ContainerProcess } from '@ctr/namespaces';

type Output = 'stdout' | 'stderr';

/** The most that a pipe can hold for an ordinary user: /proc/sys/fs/pipe-max-size. */
const PIPE_MAX = 2 ** 20;

export class KeptStreams {
  readonly #process: ContainerProcess;
  /** Which of the three are the owner's. */
  readonly #open: readonly [boolean, boolean, boolean];
  readonly #used = new Set<Output>();
  readonly #kept: Partial<Record<Output, Readable>> = {};

  constructor(process: ContainerProcess, open: readonly [boolean, boolean, boolean]) {
    this.#process = process;
    this.#open = open;
  }

  get stdin(): Writable | null {
    return this.#open[0] ? this.#process.stdin : null;
  }

  get stdout(): Readable | null {
    return this.#open[1] ? this.#output('stdout') : null;
  }

  get stderr(): Readable | null {
    return this.#open[2] ? this.#output('stderr') : null;
  }

  #output(name: Output): Readable | null {
    const kept = this.#kept[name];
    if (kept !== undefined) return kept;
    this.#used.add(name);
    return this.#process[name];
  }

  /** To be called when the process has ended. */
  settle(): void {
    // As in node:child_process: nobody is there to read it any more.
    // A terminal is its output too, of which something may still wait.
    if (this.#open[0] && this.#process.tty === null) this.#process.stdin?.destroy();
    if (this.#open[1]) this.#keep('stdout');
    if (this.#open[2]) this.#keep('stderr');
  }

  #keep(name: Output): void {
    if (this.#used.has(name)) return;
    const from = this.#process[name];
    if (from === null) return;
    this.#kept[name] = from.on('error', () => {}).pipe(new PassThrough({ highWaterMark: PIPE_MAX }));
  }
}
