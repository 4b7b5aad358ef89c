/**
 * The URL that a text names; undefined when it names none.
 *
 * Not `URL.canParse` before `new URL`: in Node 20, once V8 has compiled the caller, it reads a Latin-1 string as UTF-8 and says yes to what
 * the constructor then refuses, and no to what it takes. Our fuzzer found it: `http://\xdb\x80`.
 */
export function parseUrl(text: string, base?: URL): URL | undefined {
  try {
    return new URL(text, base);
  } catch {
    return undefined;
  }
}
