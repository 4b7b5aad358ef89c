// Work that several callers want at once is done once. Each caller has its own signal: the work stops when nobody wants it any more.
import { AbortError } from '@ctr/internal/errors';

type Listener<P> = (progress: P) => void;

interface Flight<T, P> {
  done: Promise<T>;
  stop: AbortController;
  listeners: Set<Listener<P>>;
}

/** Shares running work by key. */
export class SingleFlight<P> {
  readonly #flights = new Map<string, Flight<unknown, P>>();

  /**
   * Joins the work that runs under `key`, or begins it.
   *
   * @returns The result, and whether this caller began the work: whoever only joined may want to try itself after a failure.
   */
  async run<T>(
    key: string,
    caller: { signal: AbortSignal; what: string; listener: Listener<P> },
    work: (signal: AbortSignal, emit: Listener<P>) => Promise<T>,
  ): Promise<{ led: boolean; outcome: PromiseSettledResult<T> }> {
    const running = this.#flights.get(key) as Flight<T, P> | undefined;
    // Work that is being aborted is of no use to a newcomer: it waits for the end and begins anew.
    if (running?.stop.signal.aborted) {
      await running.done.catch(() => undefined);
      return this.run(key, caller, work);
    }
    if (caller.signal.aborted) throw new AbortError(caller.what, caller.signal.reason);
    const flight = running ?? this.#begin(key, work);
    flight.listeners.add(caller.listener);
    try {
      const value = await this.#await(flight, caller);
      return { led: running === undefined, outcome: { status: 'fulfilled', value } };
    } catch (reason) {
      if (caller.signal.aborted) throw new AbortError(caller.what, caller.signal.reason);
      return { led: running === undefined, outcome: { status: 'rejected', reason } };
    } finally {
      flight.listeners.delete(caller.listener);
    }
  }

  #begin<T>(key: string, work: (signal: AbortSignal, emit: Listener<P>) => Promise<T>): Flight<T, P> {
    const stop = new AbortController();
    const listeners = new Set<Listener<P>>();
    const emit: Listener<P> = (progress) => {
      for (const listener of listeners) listener(progress);
    };
    const done = (async () => work(stop.signal, emit))().finally(() => this.#flights.delete(key));
    done.catch(() => undefined);
    const flight = { done, stop, listeners };
    this.#flights.set(key, flight);
    return flight;
  }

  /** The last caller that leaves ends the work, and then waits for it: when its promise settles nothing goes on behind its back. */
  async #await<T>(flight: Flight<T, P>, { signal, listener }: { signal: AbortSignal; listener: Listener<P> }): Promise<T> {
    let leave: (() => void) | undefined;
    const left = new Promise<never>((_, reject) => {
      leave = () => {
        flight.listeners.delete(listener);
        if (flight.listeners.size === 0) flight.stop.abort(signal.reason);
        else reject(signal.reason);
      };
    });
    left.catch(() => undefined);
    signal.addEventListener('abort', leave as () => void, { once: true });
    try {
      return await Promise.race([flight.done, left]);
    } finally {
      signal.removeEventListener('abort', leave as () => void);
    }
  }
}
