// Checks of options, before anything on the host is touched.
import { didYouMean, InvalidArgumentError } from '@ctr/internal/errors';

/** An object with none but known keys. Keys are the object's own: a polluted prototype sets no option. */
export function checkObject(value: unknown, path: string, known: readonly string[]): asserts value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new InvalidArgumentError(path, 'an object', value);
  for (const key of Object.keys(value))
    if (!known.includes(key))
      throw new InvalidArgumentError(
        `${path}.${key}`,
        `absent; known are ${known.join(', ')}${didYouMean(key, known)}`,
        (value as Record<string, unknown>)[key],
      );
}

/** The kernel's limit of a path with its final zero byte. */
const PATH_MAX = 4096;

/** A path of the host that does not depend on the working directory. */
export function checkPath(value: unknown, path: string): asserts value is string {
  const fine = typeof value === 'string' && value.startsWith('/') && !value.includes('\0') && Buffer.byteLength(value) < PATH_MAX;
  if (!fine) throw new InvalidArgumentError(path, 'an absolute path without NUL, shorter than 4096 bytes', value);
}

export function checkBoolean(value: unknown, path: string): asserts value is boolean | undefined {
  if (value !== undefined && typeof value !== 'boolean') throw new InvalidArgumentError(path, 'true, false or absent', value);
}

/** A whole number from 1 to 2^53 - 1. */
export function checkCount(value: unknown, path: string, unit: string): asserts value is number {
  if (!Number.isSafeInteger(value) || (value as number) < 1)
    throw new InvalidArgumentError(path, `a whole number of ${unit}, at least 1`, value);
}
