// Keeps long loops from holding up the event loop.
import { setImmediate as nextTurn } from 'node:timers/promises';

const SLICE_MS = 4;

/** Call `due()` between steps and await `rest()` when it is true. */
export class Pacer {
  #since = performance.now();

  due(): boolean {
    return performance.now() - this.#since > SLICE_MS;
  }

  async rest(): Promise<void> {
    await nextTurn();
    this.#since = performance.now();
  }
}
