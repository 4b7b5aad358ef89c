// A cgroup as steps for the launcher of @ctr/namespaces. No system call is made here: this is on the path of every start.
import type { Step } from '@ctr/internal/steps';
import { CONTROLLERS } from '../controllers/index.js';
import type { CgroupDirectories } from '../names.js';
import type { CgroupParent } from '../parent/parent.js';
import type { Resources } from '../resources.js';
import { type Layout, type LayoutDirectory, layOut } from './layout.js';
import { enterStep, makeStep, openDirectoryStep, openTasksStep, removalStep, reportStep, writeSteps } from './steps.js';

/** How a process enters a cgroup that exists. */
export interface CgroupEntrance {
  /** In the launcher, before the process is made: open what is needed into slots named `cg.*`. */
  readonly prepare: Step[];
  /** In the new process, first of all: v1, one write for each hierarchy. */
  readonly setup: Step[];
  /** v2: the slot of the cgroup directory, for CLONE_INTO_CGROUP. */
  readonly cloneInto?: string;
}

/** Everything that a launcher does for a cgroup, from making to removing it. Plain data. */
export interface CgroupEntry extends CgroupEntrance {
  /** To end what is in it at once, where cgroup2 can: also what left the first process's pid namespace. */
  readonly kill: Step[];
  /** After the last process: send back the files that tell what happened, for {@link parseCollected}. */
  readonly collect: Step[];
  /** Remove it; EBUSY is to be tried again for a moment. */
  readonly cleanup: Step[];
}

/** What {@link describeCgroup} returns. */
export interface CgroupDescription extends CgroupEntry {
  /** The cgroup's directory for each controller, for {@link openCgroup}, {@link describeEnter} and {@link parseCollected}. */
  readonly directories: CgroupDirectories;
  /** Options that were taken but are not enforced here: `devices` on a host without the v1 controller. */
  readonly notEnforced: readonly (keyof Resources)[];
}

const UNIFIED_SLOT = 'cg.unified';

/** v1 controllers that share a directory are entered together, by the slot of the first. */
function entrance(directories: CgroupDirectories): CgroupEntrance {
  const prepare: Step[] = [];
  const setup: Step[] = [];
  const unified = directories['unified'];
  const seen = new Set<string>();
  for (const [controller, directory] of Object.entries(directories)) {
    if (directory === unified || seen.has(directory)) continue;
    seen.add(directory);
    const slot = `cg.${controller}`;
    prepare.push(openTasksStep(directory, slot, `open the cgroup (${controller})`));
    setup.push(enterStep(slot, directory, `enter the cgroup (${controller})`));
  }
  if (unified === undefined) return { prepare, setup };
  prepare.push(openDirectoryStep(unified, UNIFIED_SLOT, 'open the cgroup (cgroup2)'));
  return { prepare, setup, cloneInto: UNIFIED_SLOT };
}

const label = (d: LayoutDirectory): string => (d.hierarchy.version === 2 ? 'cgroup2' : d.hierarchy.controllers.join(','));

const limitSteps = (layout: Layout): Step[] =>
  layout.limits.flatMap((l) => writeSteps(l.file, l.value, `limit ${l.option} (write ${JSON.stringify(l.value)} to ${l.file})`));

/** The files that are there and are told apart by controller; cgroup2 counts CPU time without the controller too. */
function reports(layout: Layout): Step[] {
  const files = layout.made.flatMap(({ hierarchy, directory }) => {
    const place = { version: hierarchy.version, has: (f: string) => hierarchy.files.has(f) };
    const of = CONTROLLERS.filter((c) => hierarchy.controllers.includes(c.name)).flatMap((c) => c.collected(place));
    const always = hierarchy.version === 2 && layout.directories['cpuacct'] === undefined ? ['cpu.stat'] : [];
    return [...new Set([...of, ...always])].filter(place.has).map((f) => `${directory}/${f}`);
  });
  return files.map(reportStep);
}

/**
 * Describes a cgroup with limits as steps: pure, no system call. The launcher makes the directories, writes the limits,
 * puts the process in before it runs anything, and removes everything again, also when this program has died.
 *
 * All hierarchies of the parent are joined, v1 by `tasks`, v2 by CLONE_INTO_CGROUP. Where the parent is not usable and
 * no limit is asked for, every list is empty: a process needs no cgroup of its own.
 *
 * @remarks `devices: 'default'` is enforced by v1's controller. A host without one (v2 needs an eBPF program) takes it and
 * names it in `notEnforced`: there only a /dev without other nodes and the missing CAP_MKNOD stand in the way.
 * @param name unique below the parent; 1 to 200 of a-z 0-9 . _ -
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a bad name or value
 * @throws {UnsupportedError} CTR_UNSUPPORTED for a limit that this host cannot enforce, with the reason and a hint
 * @example
 * ```ts
 * const cgroup = describeCgroup(parent, 'web-1', { memory: 100 * 1024 * 1024, cpus: 0.5 })
 * const child = await spawn({ args: ['/bin/server'], cgroup })
 * ```
 */
export function describeCgroup(parent: CgroupParent, name: string, resources: Resources = {}): CgroupDescription {
  const layout = layOut(parent, name, resources);
  const unified = layout.directories['unified'];
  const { prepare, ...enter } = entrance(layout.directories);
  return {
    prepare: [
      ...layout.made.map((d) => makeStep(d.directory, `make the cgroup ${JSON.stringify(name)} (${label(d)})`)),
      ...limitSteps(layout),
      ...prepare,
    ],
    ...enter,
    kill: unified === undefined ? [] : writeSteps(`${unified}/cgroup.kill`, '1', `kill the cgroup ${JSON.stringify(name)}`),
    collect: reports(layout),
    cleanup: layout.made.map((d) => removalStep(d.directory, `remove the cgroup ${JSON.stringify(name)} (${label(d)})`)),
    directories: layout.directories,
    notEnforced: layout.notEnforced,
  };
}

/**
 * Describes how one more process enters a cgroup that exists, as for a command in a running container. Pure.
 *
 * @param directories of {@link describeCgroup} or {@link Cgroup.directories}; an empty object gives empty steps
 */
export const describeEnter = (directories: CgroupDirectories): CgroupEntrance => entrance(directories);
