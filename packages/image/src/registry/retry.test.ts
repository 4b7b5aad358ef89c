// Case R-11: patience has an end, whatever the server asks for.
import { describe, expect, it } from 'vitest';
import { parseRetryAfter, retrying, Transient } from './retry.js';

const never = new AbortController().signal;
const fast = { baseDelayMs: 1, maxDelayMs: 5 };

describe('parseRetryAfter', () => {
  it.each([
    ['0', 0],
    ['7', 7000],
    ['999999999', 999_999_999_000],
    ['-1', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['', undefined],
    [undefined, undefined],
    ['Thu, 01 Jan 1970 00:00:10 GMT', 10_000],
    ['Thu, 01 Jan 1960 00:00:10 GMT', 0],
    ['Xxx, 99 Foo', undefined],
  ])('%j is %j ms', (header, ms) => {
    expect(parseRetryAfter(header, 0)).toBe(ms);
  });
});

describe('retrying', () => {
  it('tries again what may pass, and reports the real error in the end', async () => {
    let tries = 0;
    const work = async () => {
      tries++;
      throw new Transient(new Error('busy'));
    };
    await expect(retrying('x', { ...fast, attempts: 4 }, never, work)).rejects.toThrow('busy');
    expect(tries).toBe(4);
  });

  it('gives up at once on what will not pass', async () => {
    let tries = 0;
    await expect(
      retrying('x', fast, never, async () => {
        tries++;
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(tries).toBe(1);
  });

  it('caps what a server asks for', async () => {
    let tries = 0;
    const result = await retrying('x', fast, never, async () => {
      if (++tries < 3) throw new Transient(new Error('busy'), 999_999_999_000);
      return 'done';
    });
    expect(result).toBe('done');
  });

  it('stops when the pauses together are too long', async () => {
    let tries = 0;
    const work = async () => {
      tries++;
      throw new Transient(new Error('busy'), 10_000);
    };
    await expect(retrying('x', { totalDelayMs: 1 }, never, work)).rejects.toThrow('busy');
    expect(tries).toBe(1);
  });

  it('ends a pause when the signal fires', async () => {
    const stop = new AbortController();
    const waiting = retrying('fetch it', { baseDelayMs: 60_000 }, stop.signal, async () => {
      throw new Transient(new Error('busy'));
    });
    setTimeout(() => stop.abort('enough'), 10);
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: 'enough', message: 'fetch it: aborted' });
  });
});
