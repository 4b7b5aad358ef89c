// From resources to control files, or to the reasons why not. Pure: everything about the host was found out before.
import { InvalidArgumentError, UnsupportedError } from '@ctr/internal/errors';
import type { Limit, Place, Rendered } from '../controllers/controller.js';
import { noFile } from '../controllers/controller.js';
import { devices } from '../controllers/devices.js';
import { CONTROLLERS } from '../controllers/index.js';
import { parseCpuList } from '../cpu-list.js';
import type { Resources } from '../resources.js';

/** What rendering has to know of a host; a parent, or the files of a cgroup that exists. */
export interface Terrain {
  /** Undefined when the controller cannot be used. */
  place(controller: string): Place | undefined;
  /** Why it cannot. */
  reason(controller: string): string;
  /** Whether this host has the controller at all, though we may not use it. */
  exists(controller: string): boolean;
  /** What a child's cpuset may hold; null when unknown. */
  readonly cpus: ReadonlySet<number> | null;
  readonly mems: ReadonlySet<number> | null;
  /** Whether there is a cgroup2 directory whose children have the default device rules. */
  readonly preparedDevices?: boolean;
}

const DELEGATE =
  'run as root, or in a cgroup that was delegated to you: systemd-run --user --scope -p Delegate=yes node …; without limits no cgroup is needed';

/** The host has the controller, but the parent was opened without it. */
export const NOT_ASKED = 'openParent() was not asked for it';

/** The cure depends on what is in the way. */
function hintFor(t: Terrain, controller: string): string {
  if (!t.exists(controller)) return `/proc/cgroups tells whether this kernel has it, and /proc/mounts whether it is mounted`;
  const reason = t.reason(controller);
  if (reason.includes('threaded subtree')) return 'start this program in a cgroup of its own: systemd-run --scope node …';
  if (reason.includes('read-only')) return 'in a container, mount the control groups writable; without limits no cgroup is needed';
  if (reason === NOT_ASKED) return `openParent(name, { controllers: [...DEFAULT_CONTROLLERS, ${JSON.stringify(controller)}] }) asks for it`;
  if (reason.includes('gives its children')) return 'openParent(name, { moveSelf: true }) lets our own cgroup give them, or run as root';
  return DELEGATE;
}

const WORDS: Readonly<Record<string, string>> = {
  cpu: 'a CPU limit',
  cpuset: 'a choice of CPUs or memory nodes',
  memory: 'a memory limit',
  pids: 'a limit on the number of processes',
  devices: 'a rule for device files',
  io: 'a limit for block devices',
  hugetlb: 'a limit on huge pages',
  rdma: 'a limit on RDMA',
  net_cls: 'a class for network packets',
  net_prio: 'a priority for network packets',
};

const unusable = (t: Terrain, controller: string, feature: string): UnsupportedError =>
  new UnsupportedError(feature, `a cgroup with the ${controller} controller that this user may write`, t.reason(controller), {
    hint: hintFor(t, controller),
  });

function renderUnified(t: Terrain, files: Readonly<Record<string, string>>): Rendered[] {
  return Object.entries(files).map(([file, value]) => {
    const controller = file.slice(0, file.indexOf('.'));
    const place = t.place(controller);
    const feature = `the cgroup file ${file}`;
    if (place === undefined) return unusable(t, controller, feature);
    if (place.version === 1)
      return new UnsupportedError(feature, `the ${controller} controller of cgroup v2`, `the ${controller} controller of cgroup v1`);
    return place.has(file) ? { option: 'unified', controller, file, value } : noFile(feature, file);
  });
}

/** v1's controller is there and cannot be used. Where there is none, an eBPF program does it; see layout.ts. */
const devicesRefused = (t: Terrain): UnsupportedError[] =>
  t.exists('devices') && t.place('devices') === undefined ? [unusable(t, 'devices', 'a rule for device files')] : [];

/** Whether the default device rules were asked for and neither v1's controller nor a prepared cgroup2 directory enforces them. */
export const devicesNotEnforced = (t: Terrain, r: Resources): boolean =>
  r.devices === 'default' && !t.exists('devices') && t.preparedDevices !== true;

/** Rules of the caller's own, which on v2 are a program that somebody has to load. */
export const needsDeviceProgram = (t: Terrain, r: Resources): boolean => Array.isArray(r.devices) && !t.exists('devices');

/** Every limit, or the reason why there is none. */
export function renderAll(t: Terrain, r: Resources): Rendered[] {
  const out: Rendered[] = [];
  for (const c of CONTROLLERS) {
    if (!c.options.some((o) => r[o] !== undefined && o !== 'devices')) continue;
    const place = t.place(c.name) ?? (c.v1Name === undefined ? undefined : t.place(c.v1Name));
    if (place !== undefined) out.push(...c.render(r, place));
    else if (c.options.some((o) => asked(r, o))) out.push(unusable(t, nameOn(t, c), WORDS[c.name] ?? `a limit of ${c.name}`));
  }
  if (r.devices !== undefined && r.devices !== 'all') out.push(...renderDevices(t, r));
  if (r.unified !== undefined) out.push(...renderUnified(t, r.unified));
  return out;
}

/** 'blkio' where that is what the host has. */
const nameOn = (t: Terrain, c: { name: string; v1Name?: string }): string =>
  c.v1Name !== undefined && !t.exists(c.name) && t.exists(c.v1Name) ? c.v1Name : c.name;

function renderDevices(t: Terrain, r: Resources): Rendered[] {
  const place = t.place('devices');
  return place === undefined ? devicesRefused(t) : devices.render(r, place);
}

/** What is nothing to refuse: a limit that is lifted where there is none, and what every cgroup has anyway. */
const asked = (r: Resources, option: keyof Resources): boolean =>
  r[option] !== undefined && r[option] !== null && !(option === 'oomGroup' && r.oomGroup === false) && option !== 'devices';

export const isLimit = (x: Rendered): x is Limit => !(x instanceof UnsupportedError);

/** The limits; throws the first reason why there is none. */
export function renderOrThrow(t: Terrain, r: Resources): Limit[] {
  checkAvailable(t.cpus, r.cpusetCpus, 'cpusetCpus', 'CPUs');
  checkAvailable(t.mems, r.cpusetMems, 'cpusetMems', 'memory nodes');
  return renderAll(t, r).map((x) => {
    if (!isLimit(x)) throw x;
    return x;
  });
}

/** v1 refuses what is not there, v2 takes it and silently uses the parent's: neither is what was asked for. */
function checkAvailable(all: ReadonlySet<number> | null, list: string | null | undefined, option: string, what: string): void {
  if (all === null || list === undefined || list === null) return;
  if ([...parseCpuList(list)].every((n) => all.has(n))) return;
  throw new InvalidArgumentError(`resources.${option}`, `${what} that are available here (${[...all].join(',')})`, list);
}
