// Shared work: done once, stopped only when nobody wants it any more, and never going on behind a settled promise.
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { SingleFlight } from './single-flight.js';

const caller = (signal = new AbortController().signal, listener: (p: string) => void = () => undefined) => ({
  signal,
  what: 'work',
  listener,
});

describe('SingleFlight', () => {
  it('does the work once and tells everybody how it goes', async () => {
    const flights = new SingleFlight<string>();
    const heard: string[] = [];
    let runs = 0;
    const work = async (_: AbortSignal, emit: (p: string) => void) => {
      runs++;
      await sleep(5);
      emit('half');
      return 42;
    };
    const results = await Promise.all(
      [1, 2, 3].map((i) =>
        flights.run(
          'k',
          caller(undefined, (p) => heard.push(`${i} ${p}`)),
          work,
        ),
      ),
    );
    expect(results.map((r) => r.led)).toEqual([true, false, false]);
    expect(results.map((r) => r.outcome)).toEqual(Array(3).fill({ status: 'fulfilled', value: 42 }));
    expect(heard).toEqual(['1 half', '2 half', '3 half']);
    expect(runs).toBe(1);
    await flights.run('k', caller(), work);
    expect(runs).toBe(2);
  });

  it('goes on for the others when one leaves', async () => {
    const flights = new SingleFlight<string>();
    const leaver = new AbortController();
    const work = async (signal: AbortSignal) => {
      await sleep(30);
      return signal.aborted;
    };
    const first = flights.run('k', caller(leaver.signal), work);
    const second = flights.run('k', caller(), work);
    leaver.abort('bye');
    await expect(first).rejects.toMatchObject({ name: 'AbortError', cause: 'bye' });
    expect((await second).outcome).toEqual({ status: 'fulfilled', value: false });
  });

  it('stops when the last one leaves, and settles only after the work has ended', async () => {
    const flights = new SingleFlight<string>();
    const [a, b] = [new AbortController(), new AbortController()];
    let ended = false;
    const work = async (signal: AbortSignal) => {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      await sleep(20);
      ended = true;
      throw new Error('stopped');
    };
    const first = flights.run('k', caller(a.signal), work).catch((e: Error) => e.name);
    const second = flights.run('k', caller(b.signal), work).catch((e: Error) => e.name);
    a.abort();
    expect(await first).toBe('AbortError');
    expect(ended).toBe(false);
    b.abort();
    expect(await second).toBe('AbortError');
    expect(ended).toBe(true);
  });

  it('stops when all leave by one signal', async () => {
    const flights = new SingleFlight<string>();
    const stop = new AbortController();
    let aborted = false;
    const work = (signal: AbortSignal) =>
      new Promise<never>((_, reject) =>
        signal.addEventListener('abort', () => {
          aborted = true;
          reject(new Error('stopped'));
        }),
      );
    const all = [1, 2].map(() => flights.run('k', caller(stop.signal), work).catch((e: Error) => e.name));
    stop.abort();
    expect(await Promise.all(all)).toEqual(['AbortError', 'AbortError']);
    expect(aborted).toBe(true);
  });

  it('begins anew for who comes while the old work is being stopped', async () => {
    const flights = new SingleFlight<string>();
    const stop = new AbortController();
    const old = flights
      .run('k', caller(stop.signal), async () => {
        await sleep(20);
        throw new Error('stopped');
      })
      .catch(() => 'gone');
    stop.abort();
    expect((await flights.run('k', caller(), async () => 'fresh')).outcome).toEqual({ status: 'fulfilled', value: 'fresh' });
    expect(await old).toBe('gone');
  });

  it('tells failures of led work from those of joined work', async () => {
    const flights = new SingleFlight<string>();
    const work = async () => {
      await sleep(1);
      throw new Error('no');
    };
    const [first, second] = await Promise.all([flights.run('k', caller(), work), flights.run('k', caller(), work)]);
    expect([first.led, second.led]).toEqual([true, false]);
    expect(second.outcome).toMatchObject({ status: 'rejected' });
  });

  it('does nothing for who has left before', async () => {
    let runs = 0;
    await expect(new SingleFlight<string>().run('k', caller(AbortSignal.abort('early')), async () => runs++)).rejects.toMatchObject({
      cause: 'early',
    });
    expect(runs).toBe(0);
  });
});
