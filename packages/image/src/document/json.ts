// Reads JSON that strangers wrote: bounded, typed, with the place of each mistake in the error. Never copies unknown keys.
import { ImageError } from '@ctr/internal/errors';
import { MAX_JSON_DEPTH } from '../limits.js';

/** A JSON value and where it stands, so that an error can say `manifest.layers[3].size`. */
export class Json {
  readonly value: unknown;
  readonly where: string;

  private constructor(value: unknown, where: string) {
    this.value = value;
    this.where = where;
  }

  /** Parses bytes; refuses what is not UTF-8, not JSON, or nested more than 64 deep. */
  static parse(bytes: Uint8Array, where: string): Json {
    let value: unknown;
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
      checkDepth(text, where);
      value = JSON.parse(text);
    } catch (error) {
      if (error instanceof ImageError) throw error;
      // The parser's own message quotes the document: it may be anything, so it is not passed on.
      throw new ImageError('CTR_IMAGE_INVALID', `${where} is not valid JSON`);
    }
    return new Json(value, where);
  }

  fail(expected: string): never {
    const v = this.value;
    const shown = Array.isArray(v) ? 'an array' : v === null ? 'null' : typeof v === 'object' ? 'an object' : typeof v;
    const quoted = typeof v === 'string' ? ` ${JSON.stringify(v.slice(0, 60))}` : typeof v === 'number' ? ` ${v}` : '';
    throw new ImageError('CTR_IMAGE_INVALID', `${this.where} must be ${expected}, it is ${shown}${quoted}`);
  }

  /** True when the key is there and not null (Go writes null for an empty slice or map). */
  has(key: string): boolean {
    return this.#own(key) !== undefined && this.#own(key) !== null;
  }

  get(key: string): Json {
    return new Json(this.#own(key), `${this.where}.${key}`);
  }

  /** The value under a key read by `read`, or undefined when absent or null. */
  optional<T>(key: string, read: (j: Json) => T): T | undefined {
    return this.has(key) ? read(this.get(key)) : undefined;
  }

  object(): this {
    if (typeof this.value !== 'object' || this.value === null || Array.isArray(this.value)) this.fail('an object');
    return this;
  }

  string(): string {
    return typeof this.value === 'string' ? this.value : this.fail('a string');
  }

  boolean(): boolean {
    return typeof this.value === 'boolean' ? this.value : this.fail('true or false');
  }

  /** A whole number from 0 to 2^53-1. */
  size(): number {
    return typeof this.value === 'number' && Number.isSafeInteger(this.value) && this.value >= 0
      ? this.value
      : this.fail('a whole number of bytes, 0 to 2^53-1');
  }

  array(max: number): Json[] {
    if (!Array.isArray(this.value)) return this.fail('an array');
    if (this.value.length > max)
      throw new ImageError('CTR_IMAGE_LIMIT', `${this.where} has ${this.value.length} entries, at most ${max} are accepted`);
    return this.value.map((v, i) => new Json(v, `${this.where}[${i}]`));
  }

  /** Strings without NUL: they end up as arguments and environment of a process. */
  strings(max = 10_000): string[] {
    return this.array(max).map((j) => j.text());
  }

  text(): string {
    const s = this.string();
    return s.includes('\0') ? this.fail('a string without NUL bytes') : s;
  }

  /** Keys and values; the copy is made by definition, not assignment, so a key `__proto__` is only a key. */
  record<T>(read: (j: Json) => T): Record<string, T> {
    const from = this.object().value as Record<string, unknown>;
    return Object.fromEntries(Object.keys(from).map((key) => [key, read(this.get(key))]));
  }

  keys(): string[] {
    return Object.keys(this.object().value as object);
  }

  #own(key: string): unknown {
    const v = this.value;
    return typeof v === 'object' && v !== null && Object.hasOwn(v, key) ? (v as Record<string, unknown>)[key] : undefined;
  }
}

/** A scan over the brackets outside strings, before any parser recurses over the document. */
function checkDepth(text: string, where: string): void {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (inString) {
      if (c === 0x5c) i++;
      else if (c === 0x22) inString = false;
    } else if (c === 0x22) inString = true;
    else if (c === 0x7b || c === 0x5b) {
      if (++depth > MAX_JSON_DEPTH) throw new ImageError('CTR_IMAGE_LIMIT', `${where} is nested more than ${MAX_JSON_DEPTH} deep`);
    } else if (c === 0x7d || c === 0x5d) depth--;
  }
}
