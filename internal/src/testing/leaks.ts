// Looks at the host before and after: no process, descriptor, mount, control group, link or directory may be left.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { descendants, descriptors, mounts, ownCgroups, type ProcessFacts, processes } from './procfs.js';
import { slowness } from './slowness.js';
import { isOthersTemp, TEMP_PREFIX } from './temp.js';

export interface LeakCheckOptions {
  /** Directories that must hold the same names afterwards, searched three levels deep; CTR_ROOT and the state directories are always among them. */
  directories?: string[];
  /** Whose descriptors and descendants count; default this process. Another process may be gone afterwards. */
  pid?: number;
  /** Lines that match are no leaks. */
  ignore?: RegExp;
}

export interface LeakCheck {
  /** Also counts everything that is below this process now, though it be orphaned later: for a Node that is about to be killed. */
  watch(pid: number): void;
  /** What is left now, one line each; empty when clean. */
  left(): string[];
  /** Waits until nothing is left, at most `withinMs` (default 1000; longer where the machine is slow), then throws with the list of what is. */
  assertClean(o?: { withinMs?: number }): Promise<void>;
}

/** Takes the picture "before". Run one container first: the monitor and its descriptors stay for the life of Node. */
export function leakCheck(o: LeakCheckOptions = {}): LeakCheck {
  const before = new Set(snapshot(o));
  const watched = new Map<number, string>();
  const left = (): string[] => [...snapshot(o), ...survivors(watched)].filter((line) => !before.has(line) && !o.ignore?.test(line));
  return {
    watch: (pid) => {
      for (const p of [pid, ...descendants(pid).map((d) => d.pid)]) watched.set(p, startTime(p));
      // Remembers whose control groups are ours while the records are there.
      left();
    },
    left,
    assertClean: async ({ withinMs = 1000 } = {}) => {
      const end = performance.now() + withinMs * slowness;
      let remaining = left();
      while (remaining.length > 0 && performance.now() < end) {
        await sleep(10);
        remaining = left();
      }
      if (remaining.length > 0)
        throw new Error(`left behind after ${withinMs} ms:\n  ${remaining.slice(0, 40).join('\n  ')}${more(remaining.length)}`);
    },
  };
}

const more = (n: number): string => (n > 40 ? `\n  … and ${n - 40} more` : '');

/** Everything that could leak, one line each; the difference of two such lists is the leak. */
function snapshot(o: LeakCheckOptions): string[] {
  const all = processes();
  const groups = cgroupDirectories().filter((dir) => !isStrangers(dir));
  return [
    ...ourProcesses(o.pid ?? process.pid, all, groups).map((p) => `process ${p.pid} ${p.comm} (${p.state}, child of ${p.ppid})`),
    ...[...openDescriptors(o.pid ?? process.pid)].map(([fd, to]) => `descriptor ${fd} -> ${to}`),
    ...mounts()
      .filter((m) => !isOthersTemp(m.split(' ')[1] ?? ''))
      .map((m) => `mount ${m}`),
    ...groups.map((dir) => `control group ${dir}`),
    ...names('/sys/class/net').map((n) => `link ${n}`),
    ...names(tmpdir())
      .filter((n) => n.startsWith('ctr') && !n.startsWith(TEMP_PREFIX))
      .map((n) => `temporary ${n}`),
    ...stateDirectories(o).flatMap((dir) => tree(dir, 3).map((f) => `state ${f}`)),
  ];
}

/**
 * Our descendants, and orphaned monitors. The monitor that belongs to this Node stays until Node ends: a direct child
 * called ctr-init that is alive is no leak, whenever it was started.
 */
function ourProcesses(root: number, all: ProcessFacts[], groups: string[]): ProcessFacts[] {
  const isMonitor = (p: ProcessFacts): boolean => p.ppid === root && /^ctr/.test(p.comm) && p.state !== 'Z';
  // A dead orphan is in the hands of the system's init, which may take its time.
  const orphans = all.filter((p) => p.ppid === 1 && p.state !== 'Z' && /^ctr-init|^ctr:/.test(p.comm));
  const below = descendants(root, all);
  const monitors = below.filter(isMonitor);
  // More than one monitor is a leak, though each looks like a rightful one.
  return [...below.filter((p) => !isMonitor(p)), ...monitors.slice(1), ...orphans, ...strays(groups, below, all)];
}

/** Orphans (parent 1) in a control group called ctr*: what is left of a Node that died. */
function strays(groups: string[], known: ProcessFacts[], all: ProcessFacts[]): ProcessFacts[] {
  const inside = new Set(groups.flatMap(members));
  return all.filter((p) => p.ppid <= 1 && p.state !== 'Z' && inside.has(p.pid) && !known.includes(p));
}

function members(dir: string): number[] {
  try {
    return readFileSync(path.join(dir, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

const sessions = new Set<string>();

/**
 * Test files, and other people's programs, run side by side. A session's group is called ctr.<nonce>, its record <nonce> in CTR_RUN:
 * when a test has a CTR_RUN of its own, a group whose record was never seen there is somebody else's.
 */
function isStrangers(dir: string): boolean {
  const run = process.env['CTR_RUN'];
  const nonce = /\/ctr\.([0-9a-f]{16})(?:\/|$)/.exec(dir)?.[1];
  if (run === undefined || nonce === undefined) return false;
  for (const name of names(run)) sessions.add(name);
  return !sessions.has(nonce);
}

/** Directories called ctr* below our own control groups, with what is below them, in each hierarchy. */
function cgroupDirectories(): string[] {
  const out: string[] = [];
  const walk = (dir: string): void => {
    out.push(dir);
    for (const d of directories(dir)) walk(path.join(dir, d));
  };
  for (const { directory } of ownCgroups())
    for (const name of directories(directory))
      if (name.startsWith('ctr') && !name.startsWith(TEMP_PREFIX)) walk(path.join(directory, name));
  return out;
}

function directories(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((d) => d.isDirectory())
      .map((d) => d.name);
  } catch {
    return [];
  }
}

const names = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir) : []);

function stateDirectories(o: LeakCheckOptions): string[] {
  const { XDG_RUNTIME_DIR: runtime, CTR_ROOT: store, CTR_RUN: run } = process.env;
  return [...(runtime ? [path.join(runtime, 'ctr')] : []), ...(store ? [store] : []), run ?? '/run/ctr', ...(o.directories ?? [])];
}

function tree(dir: string, depth: number): string[] {
  let entries: import('node:fs').Dirent[] = [];
  try {
    entries = readdirSync(dir, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries.flatMap((e) => {
    const file = path.join(dir, e.name);
    return e.isDirectory() && depth > 1 ? [file, ...tree(file, depth - 1)] : [file];
  });
}

function openDescriptors(pid: number): Map<number, string> {
  try {
    const open = descriptors(pid === process.pid ? 'self' : pid);
    for (const [fd, to] of open) if (/^\/proc\/\d+\/fd$/.test(to)) open.delete(fd);
    return open;
  } catch {
    return new Map();
  }
}

/** A pid alone proves nothing: it may have been given to another process. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function survivors(watched: ReadonlyMap<number, string>): string[] {
  return processes()
    .filter((p) => watched.has(p.pid) && watched.get(p.pid) !== '' && startTime(p.pid) === watched.get(p.pid) && p.state !== 'Z')
    .map((p) => `process ${p.pid} ${p.comm} (${p.state}, of the killed one)`);
}
