// What each controller's file provides: limits to files, files to numbers. One shape for v1 and v2.
import { UnsupportedError } from '@ctr/internal/errors';
import type { Resources } from '../resources.js';

/** One control file to write. */
export interface Limit {
  /** The option that asks for it. */
  readonly option: keyof Resources;
  readonly controller: string;
  readonly file: string;
  readonly value: string;
}

/** Where a limit goes. */
export interface Place {
  readonly version: 1 | 2;
  /** Whether a cgroup of this controller has this file. */
  has(file: string): boolean;
}

/** A limit, or why there is none. */
export type Rendered = Limit | UnsupportedError;

/** A cgroup's files of one controller, to be read. */
export interface Source {
  readonly version: 1 | 2;
  read(file: string): string | null;
}

/** The files of a controller, or of the cgroup2 directory itself by the name 'unified'; null when it has none. */
export type Sources = (controller: string) => Source | null;

export interface Controller<S> {
  /** Of v1 and v2; a v1 host may have another name for it, see `names`. */
  readonly name: string;
  /** The options that it enforces. */
  readonly options: readonly (keyof Resources)[];
  render(resources: Resources, place: Place): Rendered[];
  /** The files that tell what happened, read once after the last process is gone. */
  collected(place: Place): readonly string[];
  /** Null when the controller is not there. */
  stats(sources: Sources): S | null;
}

/** A limit that only the other version has. */
export const onlyV2 = (option: keyof Resources, feature: string, controller: string): UnsupportedError =>
  new UnsupportedError(feature, `the ${controller} controller of cgroup v2`, `the ${controller} controller of cgroup v1`, {
    hint: `leave ${option} out, or boot the host with systemd.unified_cgroup_hierarchy=1`,
  });

/** A limit whose file this kernel does not have. */
export const noFile = (feature: string, file: string, hint?: string): UnsupportedError =>
  new UnsupportedError(feature, `a kernel whose cgroups have ${file}`, 'one without', { hint });

/** 'name 12\nother 3\n' -> { name: 12, other: 3 }. */
export function parseFlat(text: string | null): Readonly<Record<string, number>> {
  const out: Record<string, number> = {};
  for (const line of text?.split('\n') ?? []) {
    const at = line.indexOf(' ');
    if (at > 0) out[line.slice(0, at)] = Number(line.slice(at + 1));
  }
  return out;
}

/** The number in a file of one line; null without a file. */
export function parseNumber(text: string | null): number | null {
  const n = text === null ? Number.NaN : Number.parseInt(text, 10);
  return Number.isNaN(n) ? null : n;
}

/** A limit in a file: null for none, which v2 writes as max and v1 as the largest number, rounded to pages. */
export function parseLimit(text: string | null): number | null {
  const n = parseNumber(text);
  return n === null || n < 0 || n >= 2 ** 62 ? null : n;
}
