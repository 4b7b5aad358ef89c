// A cgroup as steps for the launcher of @ctr/namespaces. No system call is made here: this is on the path of every start.
import type { Step } from '@ctr/internal/steps';
import { CONTROLLERS } from '../controllers/index.js';
import { devicesRefused } from '../device-refusal.js';
import type { CgroupDirectories } from '../names.js';
import type { CgroupParent, ParentHierarchy } from '../parent/parent.js';
import type { Resources } from '../resources.js';
import { deviceProgramSteps } from './device-steps.js';
import { type Layout, layOut } from './layout.js';
import { enterStep, killSteps, makeStep, openDirectoryStep, openTasksStep, removeGroupsStep, reportStep, writeSteps } from './steps.js';

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
  /** In the launcher, before `setup`; the process may exist by then. v1: make the directories, set the limits. */
  readonly beside: Step[];
  /** To end what is in it at once, where cgroup2 can: also what left the first process's pid namespace. */
  readonly kill: Step[];
  /** After the last process: send back the files that tell what happened, for {@link parseCollected}. */
  readonly collect: Step[];
  /** Remove it with the cgroups that were made in it; EBUSY is to be tried again for a moment. */
  readonly cleanup: Step[];
}

/** What {@link describeCgroup} returns. */
export interface CgroupDescription extends CgroupEntry {
  /** The cgroup's directory for each controller, for {@link openCgroup}, {@link describeEnter} and {@link parseCollected}. */
  readonly directories: CgroupDirectories;
  /** Options that were taken but are not enforced here: `devices` on a v2 host where no program may be loaded. */
  readonly notEnforced: readonly (keyof Resources)[];
}

const UNIFIED_SLOT = 'cg.unified';

const openStep = (controller: string, directory: string): Step =>
  openTasksStep(directory, `cg.${controller}`, `open the cgroup (${controller})`);
const entryStep = (controller: string, directory: string): Step =>
  enterStep(`cg.${controller}`, directory, `enter the cgroup (${controller})`);
/** By the process itself, which has no copy of what its launcher opens once it exists. */
const openAndEnter = (controller: string, directory: string): Step[] => [openStep(controller, directory), entryStep(controller, directory)];
const openUnified = (directory: string): Step => openDirectoryStep(directory, UNIFIED_SLOT, 'open the cgroup (cgroup2)');

/** v1 controllers that share a directory are entered together, by the slot of the first. */
function entrance(directories: CgroupDirectories): CgroupEntrance {
  const { unified, ...v1 } = directories;
  const first = new Map<string, string>();
  for (const [controller, directory] of Object.entries(v1))
    if (directory !== unified && !first.has(directory)) first.set(directory, controller);
  const prepare = [...first].map(([directory, controller]) => openStep(controller, directory));
  const setup = [...first].map(([directory, controller]) => entryStep(controller, directory));
  return unified === undefined ? { prepare, setup } : { prepare: [...prepare, openUnified(unified)], setup, cloneInto: UNIFIED_SLOT };
}

/** What of a hierarchy is the same for every cgroup in it: worked out once. */
interface Constants {
  readonly label: string;
  /** The files that tell what happened. */
  readonly collected: readonly string[];
}

const known = new WeakMap<ParentHierarchy, Constants>();

/** cgroup2 counts CPU time without the controller too, which is of use where there is no cpuacct. */
function constantsOf(h: ParentHierarchy, hasAccount: boolean): Constants {
  const place = { version: h.version, has: (f: string) => h.files.has(f) };
  const of = CONTROLLERS.filter((c) => h.controllers.includes(c.name)).flatMap((c) => c.collected(place));
  const files = h.version === 2 && !hasAccount ? [...of, 'cpu.stat'] : of;
  const constants = { label: h.version === 2 ? 'cgroup2' : h.controllers.join(','), collected: [...new Set(files)].filter(place.has) };
  known.set(h, constants);
  return constants;
}

/** The steps of a layout, directory by directory; `programs` are those of its device rules. */
function stepsOf(layout: Layout, name: string, programs: readonly Step[]): Omit<CgroupDescription, 'directories' | 'notEnforced'> {
  const hasAccount = layout.directories['cpuacct'] !== undefined;
  const prepare: Step[] = [];
  const beside: Step[] = [];
  const setup: Step[] = [];
  const collect: Step[] = [];
  const cleanup: Step[] = [];
  for (const { hierarchy, directory } of layout.made) {
    const { label, collected } = known.get(hierarchy) ?? constantsOf(hierarchy, hasAccount);
    const stage = hierarchy.version === 2 ? prepare : beside;
    stage.push(makeStep(directory, `make the cgroup "${name}" (${label})`));
    const [controller] = hierarchy.controllers;
    if (hierarchy.version === 1 && controller !== undefined) setup.push(...openAndEnter(controller, directory));
    for (const file of collected) collect.push(reportStep(`${directory}/${file}`));
    cleanup.push(removeGroupsStep(directory, `remove the cgroup "${name}" (${label})`));
  }
  const { unified } = layout.directories;
  for (const { file, option, value } of layout.limits)
    (file.startsWith(`${unified}/`) ? prepare : beside).push(...writeSteps(file, value, `limit ${option} to ${value}`));
  if (unified !== undefined) prepare.push(openUnified(unified), ...programs);
  const kill = unified === undefined ? [] : killSteps(`${unified}/cgroup.kill`, `kill the cgroup "${name}"`);
  return {
    prepare,
    beside,
    setup,
    ...(unified === undefined ? {} : { cloneInto: UNIFIED_SLOT }),
    kill,
    collect,
    cleanup,
  };
}

/** The default rules are on the parent's own directory, or nowhere. */
function ownDeviceRules(parent: CgroupParent, { deviceRules, directories }: Layout, { devices }: Resources): readonly Step[] {
  if (deviceRules === undefined || devices === 'default' || directories.unified === undefined) return [];
  if (parent.missing['devices'] !== undefined) throw devicesRefused(parent.missing['devices']);
  return deviceProgramSteps(deviceRules, UNIFIED_SLOT, directories.unified);
}

/**
 * Describes a cgroup with limits as steps: pure, no system call. The launcher makes the directories, writes the limits,
 * puts the process in before it runs anything, and removes everything again, also when this program has died.
 *
 * What a process is born in is made before it (`prepare`), the v1 hierarchies while it makes its namespaces (`beside`).
 * All hierarchies of the parent are joined, v1 by `tasks`, v2 by CLONE_INTO_CGROUP. Where the parent is not usable and
 * no limit is asked for, every list is empty: a process needs no cgroup of its own.
 *
 * @remarks `devices: 'default'` is enforced by v1's controller, or on v2 by an eBPF program that {@link openParent} has put on
 * a directory of its own. Where it could not (it takes CAP_SYS_ADMIN) the option is taken and named in `notEnforced`: there
 * only a /dev without other nodes and the missing CAP_MKNOD stand in the way. Rules of your own are a program of this cgroup on v2, and
 * refused where {@link openParent} could not load one.
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
  const programs = ownDeviceRules(parent, layout, resources);
  return { ...stepsOf(layout, name, programs), directories: layout.directories, notEnforced: layout.notEnforced };
}

/**
 * Describes how one more process enters a cgroup that exists, as for a command in a running container. Pure.
 *
 * @param directories of {@link describeCgroup} or {@link Cgroup.directories}; an empty object gives empty steps
 */
export const describeEnter = (directories: CgroupDirectories): CgroupEntrance => entrance(directories);
