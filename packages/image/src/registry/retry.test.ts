// Case R-11: patience has an end, whatever the server asks for.
import { ImageError } from '@ctr/internal/errors';
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

  it('caps a pause, and tells of it', async () => {
    let tries = 0;
    const waits: { what: string; ms: number }[] = [];
    const work = async () => {
      if (++tries < 3) throw new Transient(new Error('busy'), 100_000);
      return 'done';
    };
    expect(await retrying('x', fast, never, work, (wait) => waits.push(wait))).toBe('done');
    expect(waits).toEqual([
      { what: 'busy', ms: 5 },
      { what: 'busy', ms: 5 },
    ]);
  });

  it('does not wait for longer than its patience, and says until when', async () => {
    let tries = 0;
    const work = async () => {
      tries++;
      throw new Transient(new ImageError('CTR_IMAGE_REGISTRY', 'busy', { status: 429 }, { hint: 'log in' }), 6 * 3_600_000);
    };
    const before = Date.now();
    const error = (await retrying('x', { totalDelayMs: 60_000 }, never, work).catch((e: Error) => e)) as ImageError;
    expect(error).toMatchObject({ code: 'CTR_IMAGE_REGISTRY', status: 429, hint: expect.stringMatching(/^log in; .*totalDelayMs/) });
    const until = Date.parse(/not to be asked before (\S+)$/m.exec(error.message)?.[1] ?? '');
    expect(until - before).toBeGreaterThanOrEqual(6 * 3_600_000);
    expect(tries).toBe(1);
    const far = async () => {
      throw new Transient(new ImageError('CTR_IMAGE_REGISTRY', 'busy'), 999_999_999_999_999_000);
    };
    await expect(retrying('x', {}, never, far)).rejects.toThrow('+275760-09-13');
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
