// A template is made with a name that stands for the real one. Here the one becomes the other, in texts and in bytes.

/** Of a name, the beginning that stands alone in some places, such as the host name; what begins with it is the name. */
export const SHORT_NAME = 12;

/** A text with the placeholder, whole or its beginning, replaced by the name of the same length; '' stands nowhere. */
export function renameText(text: string, placeholder: string, name: string): string {
  if (placeholder === '') return text;
  const short = placeholder.slice(0, SHORT_NAME);
  if (!text.includes(short)) return text;
  return text.replaceAll(placeholder, name).replaceAll(short, name.slice(0, SHORT_NAME));
}

/** Plain data with every text in it renamed. Bytes, descriptors and functions stay as they are. */
export function renameData<T>(value: T, placeholder: string, name: string): T {
  if (typeof value === 'string') return renameText(value, placeholder, name) as T;
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map((item) => renameData(item, placeholder, name)) as T;
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype !== null && prototype !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, renameData(item, placeholder, name)])) as T;
}

/** Where bytes have the placeholder, as pairs of offset and length. */
export function findName(bytes: Uint8Array, placeholder: string): number[] {
  if (placeholder === '') return [];
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const whole = Buffer.from(placeholder, 'latin1');
  const short = whole.subarray(0, SHORT_NAME);
  const found: number[] = [];
  for (let at = text.indexOf(short); at >= 0; at = text.indexOf(short, at + 1)) {
    const isWhole = text.subarray(at, at + whole.length).equals(whole);
    found.push(at, isWhole ? whole.length : SHORT_NAME);
  }
  return found;
}

/** Writes the name over what findName() found, `shift` bytes further on. */
export function writeName(bytes: Uint8Array, found: readonly number[], shift: number, name: Uint8Array): void {
  for (let i = 0; i < found.length; i += 2) {
    const length = found[i + 1] as number;
    bytes.set(length === name.length ? name : name.subarray(0, length), (found[i] as number) + shift);
  }
}
