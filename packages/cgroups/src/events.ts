// What happens in a cgroup, told as it happens. Nothing is polled: the kernel rings, and the counters say what it was.
import { InvalidArgumentError, UnsupportedError } from '@ctr/internal/errors';
import { parseFlat } from './controllers/controller.js';
import { tryRead } from './kernfs.js';
import type { CgroupDirectories } from './names.js';
import { Bell, ringOnAbort, type Watching, watchFiles, watchOomV1 } from './notices.js';
import { settledOomKills } from './oom-events.js';
import { sourcesOf } from './stats.js';

/** Something that is counted. */
export type CountedEventKind = 'oom' | 'oom-kill' | 'oom-group-kill' | 'memory-low' | 'memory-high' | 'memory-max' | 'pids-max';

/** Something that is so or not. */
export type StateEventKind = 'populated' | 'frozen';

export type CgroupEventKind = CountedEventKind | StateEventKind;

/** It happened `count` times since the event before, or since watching began, and `total` times since the cgroup was made. */
export interface CountedEvent {
  readonly kind: CountedEventKind;
  readonly count: number;
  readonly total: number;
}

/** 'populated': whether a live process is in it or below; 'frozen': whether every process has come to a stop. */
export interface StateEvent {
  readonly kind: StateEventKind;
  readonly value: boolean;
}

export type CgroupEvent = CountedEvent | StateEvent;

/** What {@link Cgroup.events} may be told. */
export interface EventOptions {
  /** Which events. Default: all that this cgroup can tell. */
  readonly kinds?: readonly CgroupEventKind[] | undefined;
  /** Ends the telling. */
  readonly signal?: AbortSignal | undefined;
}

interface Origin {
  readonly controller: string;
  /** v2's file and the key in it. */
  readonly file: string;
  readonly key: string;
  readonly state?: true;
  /** v1 tells it too, by an eventfd. */
  readonly v1?: true;
}

const ORIGINS: Readonly<Record<CgroupEventKind, Origin>> = {
  oom: { controller: 'memory', file: 'memory.events', key: 'oom' },
  'oom-kill': { controller: 'memory', file: 'memory.events', key: 'oom_kill', v1: true },
  'oom-group-kill': { controller: 'memory', file: 'memory.events', key: 'oom_group_kill' },
  'memory-low': { controller: 'memory', file: 'memory.events', key: 'low' },
  'memory-high': { controller: 'memory', file: 'memory.events', key: 'high' },
  'memory-max': { controller: 'memory', file: 'memory.events', key: 'max' },
  // KERNEL: v1 counts it in the same file, but since Linux 6.11 announces it no more.
  'pids-max': { controller: 'pids', file: 'pids.events', key: 'max' },
  populated: { controller: 'unified', file: 'cgroup.events', key: 'populated', state: true },
  frozen: { controller: 'unified', file: 'cgroup.events', key: 'frozen', state: true },
};

const KINDS = Object.keys(ORIGINS) as CgroupEventKind[];

export function checkKinds(kinds: unknown, path = 'options.kinds'): void {
  if (kinds === undefined) return;
  if (!Array.isArray(kinds) || kinds.length === 0) throw new InvalidArgumentError(path, `a list of ${KINDS.join(', ')}`, kinds);
  for (const [i, kind] of kinds.entries())
    if (!KINDS.includes(kind)) throw new InvalidArgumentError(`${path}[${i}]`, `one of ${KINDS.join(', ')}`, kind);
}

const versionOf = (directories: CgroupDirectories, controller: string): 1 | 2 | null => {
  const directory = directories[controller];
  return directory === undefined ? null : directory === directories['unified'] ? 2 : 1;
};

/** Why the cgroup cannot tell it; null when it can. */
function obstacle(directories: CgroupDirectories, kind: CgroupEventKind): UnsupportedError | null {
  const { controller, v1, file } = ORIGINS[kind];
  const version = versionOf(directories, controller);
  const feature = `telling of ${kind}`;
  if (version === null)
    return new UnsupportedError(
      feature,
      controller === 'unified' ? 'a cgroup2 directory' : `a cgroup with the ${controller} controller`,
      'one without',
    );
  if (version === 1 && v1 !== true)
    return new UnsupportedError(feature, `the ${controller} controller of cgroup v2`, `the ${controller} controller of cgroup v1`);
  if (version === 2) {
    if (tryRead(`${directories[controller]}/${file}`) === null)
      return new UnsupportedError(feature, `a kernel whose cgroups have ${file}`, 'one without');
  }
  return null;
}

/** The kinds to tell of; throws for one that was asked for by name and cannot be told. */
function choose(directories: CgroupDirectories, kinds: readonly CgroupEventKind[] | undefined): CgroupEventKind[] {
  const wanted = kinds ?? KINDS;
  return [...new Set(wanted)].filter((kind) => {
    const why = obstacle(directories, kind);
    if (why !== null && kinds !== undefined) throw why;
    return why === null;
  });
}

/** By kind; null when the cgroup is gone. */
type Counters = Map<CgroupEventKind, number>;

async function watchAll(directories: CgroupDirectories, kinds: readonly CgroupEventKind[], ring: () => void): Promise<Watching> {
  const watching: Watching[] = [];
  const stop = (): void => {
    for (const w of watching) w.stop();
  };
  const files = new Map<string, Set<string>>();
  try {
    for (const kind of kinds) {
      const { controller, file, v1 } = ORIGINS[kind];
      const directory = directories[controller] ?? '';
      if (v1 === true && versionOf(directories, controller) === 1) watching.push(await watchOomV1(directory, ring));
      else files.set(directory, (files.get(directory) ?? new Set()).add(file));
    }
    for (const [directory, names] of files) watching.push(watchFiles(directory, [...names], ring));
    return { stop };
  } catch (error) {
    stop();
    throw error;
  }
}

async function count(directories: CgroupDirectories, kinds: readonly CgroupEventKind[], before: Counters | null): Promise<Counters | null> {
  const read = new Map<string, Readonly<Record<string, number>>>();
  const counters: Counters = new Map();
  for (const kind of kinds) {
    const { controller, file, key } = ORIGINS[kind];
    const source = sourcesOf(directories, tryRead)(controller);
    if (kind === 'oom-kill' && source?.version === 1) {
      const now = await settledOomKills(source, before === null ? -1 : (before.get(kind) ?? 0));
      if (now === null) return null;
      counters.set(kind, now);
      continue;
    }
    const name = `${directories[controller]}/${file}`;
    if (!read.has(name)) {
      const text = tryRead(name);
      if (text === null) return null;
      read.set(name, parseFlat(text));
    }
    counters.set(kind, read.get(name)?.[key] ?? 0);
  }
  return counters;
}

function* between(before: Counters, now: Counters): Generator<CgroupEvent> {
  for (const [kind, total] of now) {
    const last = before.get(kind) ?? 0;
    if (total === last) continue;
    if (ORIGINS[kind].state === true) yield { kind: kind as StateEventKind, value: total === 1 };
    else if (total > last) yield { kind: kind as CountedEventKind, count: total - last, total };
  }
}

/** Ends when `signal` fires or the cgroup is gone. */
export async function* cgroupEvents(
  directories: CgroupDirectories,
  options: EventOptions,
  signal: AbortSignal,
): AsyncGenerator<CgroupEvent, void, undefined> {
  const kinds = choose(directories, options.kinds);
  if (signal.aborted || kinds.length === 0) return;
  const bell = new Bell();
  const watching = await watchAll(directories, kinds, bell.ring);
  const abort = ringOnAbort(signal, bell);
  try {
    let before = await count(directories, kinds, null);
    while (before !== null) {
      await bell.heard();
      if (signal.aborted) return;
      const now = await count(directories, kinds, before);
      if (now === null) return;
      yield* between(before, now);
      before = now;
    }
  } finally {
    abort.stop();
    watching.stop();
  }
}
