// Schemas as data: each node says what it expects and reads one value into a snapshot. Values are read once
// and only from own properties, so that getters and a polluted prototype cannot change what was checked.
import { closestName, didYouMean, InvalidArgumentError } from '@ctr/internal/errors';

/** One node of a schema: `expected` completes the sentence "expected X to be …". */
export interface Schema<T> {
  readonly expected: string;
  read(value: unknown, path: string): T;
  /** False: `read` would certainly refuse it. Saves `either` an error that nobody sees. */
  couldTake?(value: unknown): boolean;
  /** True when it may be absent: then nobody need ask. */
  readonly mayBeAbsent?: boolean;
}

export type Read<S> = S extends Schema<infer T> ? T : never;

/** Fields of an object; those that may be absent are wrapped by `optional`. */
export type Fields = Readonly<Record<string, Schema<unknown>>>;
export type ReadFields<F extends Fields> = {
  [K in keyof F as undefined extends Read<F[K]> ? never : K]: Read<F[K]>;
} & {
  [K in keyof F as undefined extends Read<F[K]> ? K : never]?: Read<F[K]>;
};

export const reject = (path: string, expected: string, value: unknown, hint?: string): never => {
  throw new InvalidArgumentError(path === '' ? 'options' : path, expected, value, { hint });
};

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

/** 'mounts' + 2 -> 'mounts[2]', 'env' + 'A-B' -> 'env["A-B"]', '' + 'image' -> 'image'. */
export function join(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`;
  const shown = key.length > 60 ? `${key.slice(0, 60)}…` : key;
  if (path === '') return shown;
  return IDENTIFIER.test(shown) ? `${path}.${shown}` : `${path}[${JSON.stringify(shown)}]`;
}

/** A node made of a test and its words. */
export function scalar<T>(expected: string, read: (value: unknown) => T | undefined): Schema<T> {
  return {
    expected,
    couldTake: (value) => read(value) !== undefined,
    read: (value, path) => {
      const result = read(value);
      return result === undefined ? reject(path, expected, value) : (result as T);
    },
  };
}

export const boolean = scalar('true or false', (v) => (typeof v === 'boolean' ? v : undefined));

export function integer(min: number, max: number, expected = `a whole number from ${min} to ${max}`): Schema<number> {
  return scalar(expected, (v) => (typeof v === 'number' && Number.isSafeInteger(v) && v >= min && v <= max ? v : undefined));
}

export interface TextRules {
  max?: number;
  min?: number;
  pattern?: RegExp;
}

/** Bytes of the longest argument or variable that execve takes, MAX_ARG_STRLEN without its NUL. */
export const MAX_ARGUMENT = 131_071;

/**
 * Text for the kernel: no NUL, which would cut it short, and no lone surrogate, which would become U+FFFD.
 * `max` counts UTF-8 bytes.
 */
export function text(expected: string, rules: TextRules = {}): Schema<string> {
  const { max = 4095, min = 1, pattern } = rules;
  return {
    expected,
    couldTake: (value) => typeof value === 'string',
    read: (value, path) => {
      if (typeof value !== 'string') return reject(path, expected, value);
      if (value.includes('\0')) return reject(path, `${expected}, without a NUL character`, value);
      if (!value.isWellFormed()) return reject(path, `${expected}, in well-formed Unicode`, value);
      const length = Buffer.byteLength(value);
      if (length > max) return reject(path, `${expected}, of at most ${max} bytes`, value);
      if (length < min || (pattern !== undefined && !pattern.test(value))) return reject(path, expected, value);
      return value;
    },
  };
}

export function oneOf<const T extends string>(...words: readonly T[]): Schema<T> {
  const expected = words.map((w) => JSON.stringify(w)).join(' or ');
  return {
    expected,
    couldTake: (value) => words.includes(value as T),
    read: (value, path) => {
      if (words.includes(value as T)) return value as T;
      return reject(path, `${expected}${typeof value === 'string' ? didYouMean(value, words) : ''}`, value);
    },
  };
}

/** One of many words, of which the message names only one; `normal` brings a value into the table's own form. */
export function wordOf<const T extends string>(
  expected: string,
  words: readonly T[],
  normal: (given: string) => string = String,
): Schema<T> {
  return {
    expected,
    read: (value, path) => {
      if (typeof value !== 'string') return reject(path, expected, value);
      const word = normal(value) as T;
      return words.includes(word) ? word : reject(path, `${expected}${didYouMean(normal(value.slice(0, 200)), words)}`, value);
    },
  };
}

/** A value that is kept as it is, because it is a live thing: a signal, a stream, a function. */
export function live<T>(expected: string, test: (value: unknown) => boolean): Schema<T> {
  return scalar(expected, (v) => (test(v) ? (v as T) : undefined));
}

/** The first node that takes the value. */
export function either<T extends readonly Schema<unknown>[]>(expected: string, ...nodes: T): Schema<Read<T[number]>> {
  return {
    expected,
    read: (value, path) => {
      for (const node of nodes) {
        if (node.couldTake?.(value) === false) continue;
        try {
          return node.read(value, path) as Read<T[number]>;
        } catch (error) {
          // A failure deeper inside says more than "none of these".
          if (!(error instanceof InvalidArgumentError) || error.path !== path) throw error;
        }
      }
      return reject(path, expected, value);
    },
  };
}

export function list<T>(expected: string, item: Schema<T>, max = 1024, min = 0): Schema<readonly T[]> & { readonly item: Schema<T> } {
  return {
    expected,
    item,
    couldTake: Array.isArray,
    read: (value, path) => {
      if (!Array.isArray(value)) return reject(path, expected, value);
      // The length is read once: a getter or a Proxy could answer differently the next time.
      const length = value.length;
      if (length > max) return reject(path, `${expected}, of at most ${max} items`, value);
      if (length < min) return reject(path, expected, value);
      return Array.from({ length }, (_, i) => item.read(value[i], join(path, i)));
    },
  };
}

/** True for `{…}`, also of another realm; a Map, a Date or a class instance would be read as empty and is refused. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype = Object.getPrototypeOf(value) as object | null;
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Free keys, such as environment variables. Undefined values are kept: they take something away. */
export function record<K extends string, T>(expected: string, key: Schema<K>, item: Schema<T>, max = 4096): Schema<ReadonlyMap<K, T>> {
  return {
    expected,
    couldTake: isPlainObject,
    read: (value, path) => {
      if (!isPlainObject(value)) return reject(path, expected, value);
      const names = Object.keys(value);
      if (names.length > max) return reject(path, `${expected}, of at most ${max} entries`, value);
      return new Map(names.map((name) => [key.read(name, join(path, name)), item.read(value[name], join(path, name))]));
    },
  };
}

/** Lets a value be absent. */
export function optional<T>(node: Schema<T>): Schema<T | undefined> {
  return { expected: node.expected, mayBeAbsent: true, read: (value, path) => (value === undefined ? undefined : node.read(value, path)) };
}

/** Where a word of Docker or of another library belongs here, keyed by the unknown key in lower case. */
export type Aliases = Readonly<Record<string, string>>;

function refuseUnknown(key: string, known: readonly string[], aliases: Aliases, path: string, value: unknown): never {
  const alias = Object.hasOwn(aliases, key.toLowerCase()) ? aliases[key.toLowerCase()] : undefined;
  if (alias?.includes(' ')) return reject(path, 'a known option', value, alias);
  const near = alias ?? closestName(key.replace(/[-_]/g, ''), known);
  return reject(path, near === undefined ? 'a known option' : `a known option (did you mean ${JSON.stringify(near)}?)`, value);
}

/** An object with known keys; others are refused with the right spelling. */
export function object<F extends Fields>(expected: string, fields: F, aliases: Aliases = {}): Schema<ReadFields<F>> {
  const known = Object.keys(fields);
  const required = known.filter((key) => fields[key]?.mayBeAbsent !== true);
  return {
    expected,
    couldTake: isPlainObject,
    read: (value, path) => {
      if (!isPlainObject(value)) return reject(path, expected, value);
      const result: Record<string, unknown> = {};
      for (const key of Object.keys(value)) {
        if (!Object.hasOwn(fields, key)) return refuseUnknown(key, known, aliases, join(path, key), value[key]);
      }
      for (const key of Object.keys(value)) {
        const read = (fields[key] as Schema<unknown>).read(value[key], join(path, key));
        if (read !== undefined) result[key] = read;
      }
      for (const key of required) if (!Object.hasOwn(value, key)) fields[key]?.read(undefined, join(path, key));
      return Object.freeze(result) as ReadFields<F>;
    },
  };
}
