// Checks of single values: each says where it stood, what would be right and what came.
import { didYouMean, InvalidArgumentError } from '@ctr/internal/errors';

const PATH_MAX = 4096;

export function fail(path: string, expected: string, received: unknown): never {
  throw new InvalidArgumentError(path, expected, received);
}

/** A misspelled option is an error that names the right spelling. */
export function checkKeys(value: object, known: readonly string[], path: string): void {
  for (const key of Object.keys(value))
    if (!known.includes(key))
      fail(path === '' ? key : `${path}.${key}`, `a known option${didYouMean(key, known)}`, (value as Record<string, unknown>)[key]);
}

export function object(value: unknown, path: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(path, 'an object', value);
}

export function list(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value)) fail(path, 'an array', value);
  return value as unknown[];
}

export function boolean(value: unknown, path: string): void {
  if (typeof value !== 'boolean') fail(path, 'true or false', value);
}

export function functionValue(value: unknown, path: string): void {
  if (typeof value !== 'function') fail(path, 'a function', value);
}

/** A lone surrogate has no bytes in UTF-8: it would arrive as another character. */
export function text(value: unknown, path: string, most = 128 * 1024): void {
  if (typeof value !== 'string') fail(path, 'a string', value);
  if (value.includes('\0')) fail(path, 'text without NUL characters', value);
  if (!value.isWellFormed()) fail(path, 'text without half characters (lone surrogates)', value);
  if (Buffer.byteLength(value) > most) fail(path, `at most ${most} bytes`, value);
}

export function absolute(value: unknown, path: string): void {
  text(value, path, PATH_MAX);
  if (!(value as string).startsWith('/')) fail(path, 'an absolute path', value);
}

export function integer(value: unknown, path: string, min: number, max: number): void {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) fail(path, `an integer from ${min} to ${max}`, value);
}

/** Steps are made by packages, not by hand: their form is looked at, their arguments are the encoder's affair. */
export function steps(value: unknown, path: string): void {
  list(value, path).forEach((s, i) => {
    object(s, `${path}[${i}]`);
    const { call, args } = s as { call?: unknown; args?: unknown };
    if (typeof call !== 'string') fail(`${path}[${i}].call`, 'the name of a system call', call);
    if (!Array.isArray(args)) fail(`${path}[${i}].args`, 'an array', args);
  });
}
