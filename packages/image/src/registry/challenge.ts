// Parses WWW-Authenticate: several challenges in one header or several headers, tokens and quoted strings.

export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Parameters by lower-case name; the first of two with one name counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const MAX_HEADER = 16 * 1024;
const TOKEN = /[A-Za-z0-9!#$%&'*+.^_`|~-]+/y;
const QUOTED = /"((?:[^"\\]|\\[\s\S])*)"/y;
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/y;
const SPACE = /[ \t]*/y;
const COMMAS = /[ \t,]*/y;

/**
 * Splits the header into challenges. What does not follow the grammar ends the reading: the challenges before it are returned.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const text = typeof header === 'string' ? header : (header ?? []).join(', ');
  return text.length > MAX_HEADER ? [] : new Reader(text).challenges();
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  challenges(): Challenge[] {
    const out: Challenge[] = [];
    for (;;) {
      this.#take(COMMAS);
      const scheme = this.#take(TOKEN);
      if (!scheme) return out;
      this.#take(SPACE);
      out.push({ scheme: scheme.toLowerCase(), parameters: this.#parameters() });
    }
  }

  /** Up to where the next word is not followed by "=": that is the next challenge's scheme. */
  #parameters(): Map<string, string> {
    const found = new Map<string, string>();
    for (;;) {
      const start = this.#at;
      this.#take(COMMAS);
      const pair = this.#parameter();
      if (pair === undefined) {
        this.#at = start;
        if (found.size === 0) this.#take(TOKEN68);
        return found;
      }
      if (!found.has(pair[0])) found.set(pair[0], pair[1]);
    }
  }

  #parameter(): [string, string] | undefined {
    const name = this.#take(TOKEN);
    if (!name) return undefined;
    this.#take(SPACE);
    if (this.#text[this.#at] !== '=') return undefined;
    this.#at++;
    this.#take(SPACE);
    const quoted = this.#take(QUOTED);
    if (quoted !== undefined) return [name.toLowerCase(), quoted.slice(1, -1).replace(/\\([\s\S])/g, '$1')];
    const plain = this.#take(TOKEN);
    return plain ? [name.toLowerCase(), plain] : undefined;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match[0];
  }
}
