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
  /** It takes a limit away: a new cgroup has none, so only an update writes it. */
  readonly lifts?: true;
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
  /** Its name on v2, or on v1 for what only v1 has. */
  readonly name: string;
  /** Its name on v1, when that differs. */
  readonly v1Name?: string;
  /** The options that it enforces. */
  readonly options: readonly (keyof Resources)[];
  render(resources: Resources, place: Place): Rendered[];
  /** The files that tell what happened, read once after the last process is gone. */
  collected(place: Place): readonly string[];
  /** Null when the controller is not there. */
  stats(sources: Sources): S | null;
  /** The limits as they are now, in the words of Resources; what is not limited is left out. */
  limits?(sources: Sources): Resources;
}

/** One limit to be rendered: the file and the text, or null to lift it by writing `none`. */
export interface Setting {
  readonly option: keyof Resources;
  readonly controller: string;
  readonly file: string;
  readonly value: string | number | null;
  /** What the file holds in a new cgroup. */
  readonly none: string;
  /** For the refusal when the kernel has no such file. */
  readonly feature: string;
  readonly hint?: string;
}

/** Nothing has to be lifted where there is no such limit. */
export function setting(place: Place, s: Setting): Rendered[] {
  const { option, controller, file, value, none } = s;
  if (!place.has(file)) return value === null ? [] : [noFile(s.feature, file, s.hint)];
  return [value === null ? { option, controller, file, value: none, lifts: true } : { option, controller, file, value: `${value}` }];
}

/** A limit that only the other version has. */
export const onlyV2 = (option: keyof Resources, feature: string, controller: string): UnsupportedError =>
  new UnsupportedError(feature, `the ${controller} controller of cgroup v2`, `the ${controller} controller of cgroup v1`, {
    hint: `leave ${option} out, or boot the host with systemd.unified_cgroup_hierarchy=1`,
  });

/** A limit that v2 has given up. */
export const onlyV1 = (option: keyof Resources, feature: string, controller: string): UnsupportedError =>
  new UnsupportedError(feature, `the ${controller} controller of cgroup v1`, `the ${controller} controller of cgroup v2`, {
    hint: `leave ${option} out: cgroup v2 has no such limit`,
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

/** 'a x=1 y=max\nb x=2\n' -> { a: { x: '1', y: 'max' }, b: { x: '2' } }; how io, rdma and PSI write. */
export function parseNested(text: string | null): Record<string, Record<string, string>> {
  const out: Record<string, Record<string, string>> = {};
  for (const line of text?.split('\n') ?? []) {
    const [name, ...pairs] = line.trim().split(/\s+/);
    if (!name) continue;
    const values: Record<string, string> = {};
    for (const pair of pairs) {
      const at = pair.indexOf('=');
      if (at > 0) values[pair.slice(0, at)] = pair.slice(at + 1);
    }
    out[name] = { ...out[name], ...values };
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

/** Leaves out what is null or undefined. */
export const given = <T extends object>(values: { [K in keyof T]: T[K] | null | undefined }): T =>
  Object.fromEntries(Object.entries(values).filter(([, v]) => v !== null && v !== undefined)) as T;
