// The checks that option values go through: each refuses with the place, what is right and what came.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { isCpuList } from './cpu-list.js';

export type Check = (value: unknown, path: string) => void;

export function fail(path: string, expected: string, received: unknown): never {
  throw new InvalidArgumentError(path, expected, received);
}

export const integer =
  (min: number, max: number, what: string): Check =>
  (v, path) => {
    if (typeof v !== 'number' || !Number.isSafeInteger(v) || v < min || v > max) fail(path, `${what} from ${min} to ${max}`, v);
  };

export const bytes = (min: number): Check => integer(min, Number.MAX_SAFE_INTEGER, 'a whole number of bytes');

export const count = (min: number, max: number = Number.MAX_SAFE_INTEGER): Check => integer(min, max, 'a whole number');

export const decimal =
  (min: number, max: number, what: string): Check =>
  (v, path) => {
    if (typeof v !== 'number' || !(v >= min && v <= max)) fail(path, `${what} from ${min} to ${max}`, v);
  };

export const yesNo: Check = (v, path) => {
  if (typeof v !== 'boolean') fail(path, 'true or false', v);
};

export const cpuList: Check = (v, path) => {
  if (typeof v !== 'string' || !isCpuList(v)) fail(path, 'a list of numbers and ranges such as "0-3,6"', v);
};

export const oneOf =
  (...words: readonly string[]): Check =>
  (v, path) => {
    if (typeof v !== 'string' || !words.includes(v)) fail(path, words.map((w) => JSON.stringify(w)).join(' or '), v);
  };

/** Null lifts a limit. */
export const orNull =
  (check: Check): Check =>
  (v, path) => {
    if (v !== null) check(v, path);
  };

const short = (key: string): string => JSON.stringify(key.slice(0, 60));

/** An object whose keys are names that the kernel prints in one word. */
export const record =
  (what: string, key: RegExp, keyWhat: string, value: Check): Check =>
  (v, path) => {
    if (typeof v !== 'object' || v === null || Array.isArray(v)) fail(path, `an object of ${what}`, v);
    for (const [name, inner] of Object.entries(v)) {
      if (!key.test(name)) fail(`${path}[${short(name)}]`, keyWhat, name);
      value(inner, `${path}[${short(name)}]`);
    }
  };

/** An object with these keys and no others; `undefined` counts as left out. */
export const shape =
  (what: string, checks: Readonly<Record<string, Check>>, required: readonly string[] = []): Check =>
  (v, path) => {
    if (typeof v !== 'object' || v === null || Array.isArray(v)) fail(path, what, v);
    for (const name of required) if ((v as Record<string, unknown>)[name] === undefined) fail(`${path}.${name}`, 'given', undefined);
    for (const [name, inner] of Object.entries(v)) {
      const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
      if (check === undefined) fail(`${path}.${name.slice(0, 60)}`, `one of ${Object.keys(checks).join(', ')}`, name);
      if (inner !== undefined) check(inner, `${path}.${name}`);
    }
  };

export const list =
  (what: string, each: Check): Check =>
  (v, path) => {
    if (!Array.isArray(v)) fail(path, `a list of ${what}`, v);
    for (const [i, inner] of v.entries()) each(inner, `${path}[${i}]`);
  };
