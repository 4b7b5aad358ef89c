// Connections to registries that a pull leaves behind for the next: looking again whether a tag has moved is then one request.
import { createHash } from 'node:crypto';
import type { Endpoint } from './endpoint.js';
import type { HttpClient } from './http.js';

/** A way to a registry that has worked. */
export interface Line {
  readonly http: HttpClient;
  readonly endpoint: Endpoint;
  /** When it was found, by performance.now(). */
  readonly born: number;
}

/** Shorter than what servers keep an idle connection for: Node's 5 s is the least of the usual ones. */
const IDLE_MS = 4000;
/** Scheme, proxy and certificates are looked for anew after this. */
const MAX_AGE_MS = 60_000;

/** Lines that nobody uses. Whoever takes one has it alone. They keep no process alive: node:http unrefs idle sockets. */
export class IdleLines {
  readonly #lines = new Map<string, { line: Line; timer: NodeJS.Timeout }>();

  take(key: string): Line | undefined {
    const found = this.#lines.get(key);
    if (found === undefined) return undefined;
    this.#lines.delete(key);
    clearTimeout(found.timer);
    return found.line;
  }

  /** Only for one that has worked to the end, with nothing under way. */
  give(key: string, line: Line): void {
    if (this.#lines.has(key) || performance.now() - line.born > MAX_AGE_MS) {
      line.http.close();
      return;
    }
    const timer = setTimeout(() => this.take(key)?.http.close(), IDLE_MS);
    timer.unref();
    this.#lines.set(key, { line, timer });
  }
}

const PROXY_WORDS = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY'].flatMap((name) => [name, name.toLowerCase()]);

/** Two clients with the same rules may follow each other on a line. Hashed, as the rules hold keys and passwords. */
export function lineKey(rules: readonly unknown[]): string {
  const environment = PROXY_WORDS.map((name) => process.env[name] ?? null);
  return createHash('sha256')
    .update(JSON.stringify([rules, environment]))
    .digest('base64');
}
