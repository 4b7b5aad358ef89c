// A transient scope: a cgroup that systemd made for processes of ours, and that it leaves to us (Delegate=yes).
import { readFileSync } from 'node:fs';
import { assertLinux, errnoNumber, InvalidArgumentError, SyscallError, UnsupportedError } from '@ctr/internal/errors';
import { Cgroup } from '../cgroup.js';
import { detectFrom } from '../host/detect.js';
import { parseHierarchies } from '../host/parse.js';
import { tryRead } from '../kernfs.js';
import type { CgroupDirectories } from '../names.js';
import { renderOrThrow } from '../plan/render.js';
import { terrainOf } from '../plan/terrain.js';
import { checkResources, type Resources } from '../resources.js';
import { updateLimits } from '../update.js';
import { isSystemdBooted, type SystemdBus, SystemdManager, usualBus } from './bus.js';
import { type Property, propertiesOf, scopeProperties } from './properties.js';

/** What {@link createScope} is told. */
export interface ScopeOptions {
  /** The processes to put into it, at least one: systemd has no scope without. */
  readonly pids: readonly number[];
  /** Below which slice. Default: 'system.slice', for a user 'user.slice' of his systemd. */
  readonly slice?: string | undefined;
  /** What `systemctl status` shows. Default: the name. */
  readonly description?: string | undefined;
  /** Whose systemd. Default: the system's for root, the user's for everybody else, as in runc. */
  readonly bus?: SystemdBus | undefined;
  /** Limits: as properties of the unit where systemd has them, and by the files of the cgroup. Default: none. */
  readonly resources?: Resources | undefined;
}

const KEYS = ['pids', 'slice', 'description', 'bus', 'resources'];

/** A unit's name is a path and a word of systemd's: letters and the few signs that need no escape. */
const UNIT = /^[A-Za-z0-9][A-Za-z0-9:_.-]{0,199}$/;

function check(name: unknown, o: ScopeOptions): void {
  if (typeof name !== 'string' || !UNIT.test(name))
    throw new InvalidArgumentError('name', '1 to 200 of the characters A-Z a-z 0-9 : _ . -', name);
  if (typeof o !== 'object' || o === null) throw new InvalidArgumentError('options', 'an object such as { pids: [1234] }', o);
  for (const key of Object.keys(o))
    if (!KEYS.includes(key)) throw new InvalidArgumentError(`options.${key}`, `one of ${KEYS.join(', ')}`, key);
  const { pids, slice, description, bus } = o;
  if (!Array.isArray(pids) || pids.length === 0 || !pids.every((p) => Number.isSafeInteger(p) && p > 0))
    throw new InvalidArgumentError('options.pids', 'a list of at least one process', pids);
  if (slice !== undefined && (typeof slice !== 'string' || !UNIT.test(slice) || !slice.endsWith('.slice')))
    throw new InvalidArgumentError('options.slice', 'the name of a slice such as "machine.slice"', slice);
  if (description !== undefined && (typeof description !== 'string' || /[\0\n]/.test(description) || description.length > 1000))
    throw new InvalidArgumentError('options.description', 'one line of text', description);
  if (bus !== undefined && bus !== 'system' && bus !== 'user') throw new InvalidArgumentError('options.bus', '"system" or "user"', bus);
  checkResources(o.resources ?? {}, 'options.resources');
}

export const noSystemd = (): UnsupportedError =>
  new UnsupportedError('the systemd driver', 'a host that was booted with systemd', 'no /run/systemd/system', {
    hint: 'use the cgroupfs driver: openParent() without driver',
  });

/** Where a process is, in the hierarchies that this process can see. */
function directoriesOf(pid: number): CgroupDirectories {
  const text = tryRead(`/proc/${pid}/cgroup`);
  if (text === null)
    throw new SyscallError({ errno: errnoNumber('ESRCH'), syscall: 'open', path: `/proc/${pid}/cgroup`, doing: 'find the scope' });
  const directories: Record<string, string> = {};
  for (const h of parseHierarchies(readFileSync('/proc/self/mountinfo', 'utf8'), text)) {
    const directory = h.places[0]?.directory;
    if (directory === undefined) continue;
    if (h.version === 1) for (const c of h.controllers.filter((x) => !x.startsWith('name='))) directories[c] = directory;
    else {
      directories['unified'] = directory;
      for (const c of (tryRead(`${directory}/cgroup.controllers`) ?? '').split(/\s+/).filter((x) => x !== '')) directories[c] = directory;
    }
  }
  return directories;
}

/** Only directories of the unit are its own: on v1 a controller that systemd does not use stays where the process was. */
const ownOf = (directories: CgroupDirectories, unit: string): CgroupDirectories =>
  Object.fromEntries(Object.entries(directories).filter(([, d]) => d.endsWith(`/${unit}`)));

/** @internal Starts the unit, and waits until systemd has put the processes there. */
export async function startScope(
  manager: SystemdManager,
  unit: string,
  o: ScopeOptions,
  more: readonly Property[] = [],
): Promise<CgroupDirectories> {
  const slice = o.slice ?? (manager.bus === 'system' ? 'system.slice' : 'app.slice');
  const properties = [...scopeProperties({ description: o.description ?? unit, slice, pids: o.pids }), ...more];
  await manager.job(
    'StartTransientUnit',
    'ssa(sv)a(sa(sv))',
    [unit, 'fail', properties.map(([name, type, value]) => manager.property(name, type, value)), []],
    `start the scope ${unit}`,
  );
  return ownOf(directoriesOf(o.pids[0] as number), unit);
}

/** A scope of systemd's; made by {@link createScope}. */
export class Scope {
  /** The unit, as `systemctl` names it. */
  readonly unit: string;
  /** Its cgroup, to be used as any other; cgroups may be made below it. */
  readonly cgroup: Cgroup;
  readonly #bus: SystemdBus;

  /** @internal Use {@link createScope}. */
  constructor(unit: string, bus: SystemdBus, directories: CgroupDirectories) {
    this.unit = unit;
    this.#bus = bus;
    this.cgroup = new Cgroup(directories);
  }

  /**
   * Changes limits, for systemd and for the kernel; see {@link Cgroup.update}, which alone would be undone when systemd
   * reloads.
   */
  async update(resources: Resources): Promise<void> {
    checkResources(resources);
    await withManager(this.#bus, async (manager) => {
      const properties = propertiesOf(resources, versionOf(this.cgroup.directories));
      const values = properties.map(([name, type, value]) => manager.property(name, type, value));
      // true: until the end of the unit, not beyond.
      if (values.length > 0) await manager.call('SetUnitProperties', 'sba(sv)', [this.unit, true, values], `change ${this.unit}`);
    });
    await this.cgroup.update(resources);
  }

  /**
   * Ends what is in it with SIGKILL and lets systemd remove it. One that is gone already is fine.
   *
   * @throws {SystemdError} CTR_SYSTEMD when systemd refuses
   */
  async stop(): Promise<void> {
    await this.cgroup.kill();
    await withManager(this.#bus, async (manager) => {
      await manager.job('StopUnit', 'ss', [this.unit, 'replace'], `stop ${this.unit}`).catch((error: { dbusName?: string }) => {
        if (error.dbusName !== 'org.freedesktop.systemd1.NoSuchUnit') throw error;
      });
    });
  }

  /** The same as {@link stop}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

const versionOf = (directories: CgroupDirectories): 1 | 2 =>
  Object.entries(directories).some(([c, d]) => c !== 'unified' && d !== directories['unified']) ? 1 : 2;

/** @internal */
export async function withManager<T>(bus: SystemdBus, work: (manager: SystemdManager) => Promise<T>): Promise<T> {
  const manager = await SystemdManager.connect(bus);
  try {
    return await work(manager);
  } finally {
    manager.close();
  }
}

/** Refuses before systemd is asked for anything what no controller of this host could do. */
async function refuseUnsupported(resources: Resources): Promise<1 | 2> {
  const host = await detectFrom(readFileSync('/proc/self/mountinfo', 'utf8'), readFileSync('/proc/self/cgroup', 'utf8'));
  const terrain = terrainOf(host);
  // systemd delegates what this process itself may not write.
  const place = (controller: string) => {
    const c = host.controllers[controller];
    return c && { version: c.version, has: () => true };
  };
  renderOrThrow({ ...terrain, place }, resources);
  return Object.values(host.controllers).some((c) => c.version === 1) ? 1 : 2;
}

/**
 * Puts running processes into a transient scope of systemd's, with limits, and gives its cgroup, which systemd leaves to
 * us (`Delegate=yes`). What runc does with `--systemd-cgroup`. Root asks the system's systemd, an ordinary user his own,
 * which gives him limits without root.
 *
 * @param name of the unit, without '.scope'
 * @throws {UnsupportedError} CTR_UNSUPPORTED where systemd is not the init system, its bus is not there, or a limit has no controller
 * @throws {SystemdError} CTR_SYSTEMD when systemd refuses, as for a name that is taken
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a bad name, option or limit
 * @see {@link https://systemd.io/CGROUP_DELEGATION/}
 * @example
 * ```ts
 * await using scope = await createScope('job-1', { pids: [child.pid], resources: { memory: 64 * 1024 * 1024 } })
 * console.log(await scope.cgroup.stats())
 * ```
 */
export async function createScope(name: string, options: ScopeOptions): Promise<Scope> {
  check(name, options);
  assertLinux('cgroups');
  if (!isSystemdBooted()) throw noSystemd();
  const { resources = {} } = options;
  const version = await refuseUnsupported(resources);
  const bus = options.bus ?? usualBus();
  const unit = `${name}.scope`;
  const directories = await withManager(bus, (manager) => startScope(manager, unit, options, propertiesOf(resources, version)));
  const scope = new Scope(unit, bus, directories);
  // Processes are in it by now: on a failure they are left as they are, and the caller's to end.
  await updateLimits(directories, resources);
  return scope;
}
