// Messages on their way to the monitor. Its socket may be full: then they wait here, in order.
import { callNative, closeFds, type MonitorHandle } from '../native.js';

/** A message with the descriptors that go along and those to close once they are sent. */
export interface Outgoing {
  message: Uint8Array;
  fds: Int32Array;
  own: readonly number[];
  /** It could not be sent, and never will be. */
  failed(error: unknown): void;
}

export class Outbox {
  readonly #waiting: Outgoing[] = [];
  readonly #handle: () => MonitorHandle;

  constructor(handle: () => MonitorHandle) {
    this.#handle = handle;
  }

  /** True when nothing waits: what is sent now overtakes nobody. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  send(item: Outgoing): void {
    if (this.#waiting.length > 0 || !this.#trySend(item)) this.#waiting.push(item);
  }

  /** Takes back what has not been sent. False when it has. */
  takeBack(item: Outgoing): boolean {
    const at = this.#waiting.indexOf(item);
    if (at < 0) return false;
    this.#waiting.splice(at, 1);
    closeFds(item.own);
    return true;
  }

  /** There is room again. */
  flush(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#trySend(next); next = this.#waiting[0]) this.#waiting.shift();
  }

  /** Nothing will be sent any more. */
  clear(): void {
    for (const item of this.#waiting.splice(0)) closeFds(item.own);
  }

  /** False when there is no room. A failure is the message's own: what waits behind it may still be sent. */
  #trySend(item: Outgoing): boolean {
    try {
      if (!callNative('talk to the monitor', () => this.#handle().send(item.message, item.fds))) return false;
      closeFds(item.own);
    } catch (error) {
      closeFds(item.own);
      item.failed(error);
    }
    return true;
  }
}
