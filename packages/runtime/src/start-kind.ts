// What tells whether two starts are of one kind: the options that the plan depends on, and of what kinds the streams are.
import type { StdioPlan } from './stdio.js';

/** Options of every program that one start has of its own; whatever is not named here belongs to the kind. */
export const OF_ONE_START: readonly string[] = [
  'env',
  'stdin',
  'stdout',
  'stderr',
  'input',
  'signal',
  'timeout',
  'killSignal',
  'maxBuffer',
  'encoding',
];

/** The options of the kind; plain data, for sameData(). */
export function kindOf(spec: object, ofOneStart: ReadonlySet<string>, { stdio }: StdioPlan): Readonly<Record<string, unknown>> {
  const kind: Record<string, unknown> = { streams: stdio.map((place) => (place === 'pipe' || place === 'ignore' ? place : 'descriptor')) };
  for (const [key, value] of Object.entries(spec)) if (!ofOneStart.has(key)) kind[`option ${key}`] = value;
  return kind;
}

/** The last few of their kinds, the latest first. */
export class Recent<T> {
  readonly #items: T[] = [];
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  find(matches: (item: T) => boolean): T | undefined {
    const at = this.#items.findIndex(matches);
    if (at > 0) this.#items.unshift(...this.#items.splice(at, 1));
    return at < 0 ? undefined : this.#items[0];
  }

  add(item: T): T {
    this.#items.unshift(item);
    if (this.#items.length > this.#most) this.#items.pop();
    return item;
  }
}
