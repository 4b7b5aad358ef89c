// Makes the parent cgroup in every hierarchy that we may write, and prepares it so that its children cost little.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { assertLinux, InvalidArgumentError, syscallErrorFrom, UnsupportedError } from '@ctr/internal/errors';
import { effectiveFile } from '../controllers/cpuset.js';
import { DEFAULT_DEVICE_RULES, fullRules } from '../controllers/device-rules.js';
import { parseCpuList } from '../cpu-list.js';
import { DeviceProgram } from '../device-programs.js';
import { type CgroupHost, detectWith } from '../host/detect.js';
import { codeOf, makeDirectory, readControl, tryRead, words, writeControl } from '../kernfs.js';
import { checkName, DEFAULT_DEVICES, V1_CONTROLLERS, V2_CONTROLLERS } from '../names.js';
import { enterScope } from '../systemd/enter-scope.js';
import { emptyIntoLeaf, restoreFromLeaf } from './leaf.js';
import { CgroupParent, type ParentFacts, type ParentHierarchy } from './parent.js';

/** What {@link openParent} may be told. */
export interface OpenParentOptions {
  /**
   * The controllers to use, by the kernel's names. Default: {@link DEFAULT_CONTROLLERS} (cpu, cpuacct, cpuset, memory,
   * devices, freezer, blkio, io and pids), as far as the host has them. Name such as 'hugetlb', 'rdma', 'misc', 'net_cls',
   * 'net_prio' and 'perf_event' beside those that you need: each makes every cgroup a little dearer.
   */
  readonly controllers?: readonly string[] | undefined;
  /**
   * v2: when our own cgroup cannot give controllers to its children because it holds processes, move all of them into
   * a child of it, `<name>-self`, and make the parent beside. Right for a cgroup that was delegated to this program,
   * as by `systemd-run -p Delegate=yes` or in a container; {@link CgroupParent.remove} moves them back. Default: false,
   * which looks for a place above instead.
   */
  readonly moveSelf?: boolean | undefined;
  /**
   * 'cgroupfs': make directories below our own cgroup. 'systemd': let systemd move this process into a transient scope
   * that it delegates (`<name>-<pid>.scope`), and make the parent in there; implies `moveSelf`. Where systemd is the init
   * system it is its one writer, and an ordinary user gets controllers from it. {@link CgroupParent.remove} moves this
   * process back where it may. Default: 'cgroupfs', as in runc.
   */
  readonly driver?: 'cgroupfs' | 'systemd' | undefined;
  /** For the driver 'systemd': below which slice. Default: 'system.slice', for a user 'app.slice' of his systemd. */
  readonly slice?: string | undefined;
}

const OPTIONS = ['controllers', 'moveSelf', 'driver', 'slice'];

/** These say "not for you": the hierarchy is left out, and a limit that needs it is refused with this as the reason. */
const REFUSALS = new Set(['EACCES', 'EPERM', 'EROFS']);

interface Work {
  readonly name: string;
  readonly host: CgroupHost;
  readonly wanted: readonly string[];
  readonly missing: Record<string, string>;
}

/** v1: a cpuset without CPUs or memory nodes takes no process, and a new one has none unless its parent hands its own down. */
async function fillCpuset(directory: string): Promise<void> {
  const above = path.dirname(directory);
  for (const what of ['cpus', 'mems'] as const) {
    const file = path.join(directory, `cpuset.${what}`);
    if (readControl(file).trim() === '') await writeControl(file, readControl(path.join(above, effectiveFile(1, what))).trim());
  }
  await writeControl(path.join(directory, 'cgroup.clone_children'), '1');
}

/** v1: children of this directory are born with the default device rules; see controllers/devices.ts. */
async function makeDefaultDevices(directory: string): Promise<string> {
  const inner = path.join(directory, DEFAULT_DEVICES);
  // Written again when it was there: whoever made it may have died halfway.
  await makeDirectory(inner);
  await writeControl(path.join(inner, 'devices.deny'), 'a');
  for (const rule of DEFAULT_DEVICE_RULES) await writeControl(path.join(inner, 'devices.allow'), rule);
  return inner;
}

async function openV1(work: Work, base: string, controllers: readonly string[]): Promise<ParentHierarchy> {
  const directory = path.join(base, work.name);
  await makeDirectory(directory);
  if (controllers.includes('cpuset')) await fillCpuset(directory);
  const inner = controllers.includes('devices') ? { defaultDevices: await makeDefaultDevices(directory) } : {};
  return { version: 1, controllers, directory, ...inner, files: new Set(await readdir(directory)) };
}

/** Enables one at a time: one that is refused (EINVAL: cpu with real-time processes about) must not keep out the others. */
async function enable(work: Work, directory: string, controllers: readonly string[]): Promise<string[]> {
  const file = path.join(directory, 'cgroup.subtree_control');
  const active = words(readControl(file));
  const enabled: string[] = [];
  for (const c of controllers) {
    try {
      if (!active.includes(c)) await writeControl(file, `+${c}`);
      enabled.push(c);
    } catch (error) {
      work.missing[c] = `${file} refused +${c} (${codeOf(error)})`;
    }
  }
  return enabled;
}

/**
 * v2: the same with an eBPF program, which holds for everything below the directory it is attached to. Nothing where this
 * user may load none: the option is then named in `notEnforced`.
 */
async function makeDefaultDevicesV2(work: Work, directory: string, controllers: readonly string[]): Promise<{ defaultDevices?: string }> {
  if (Object.hasOwn(work.host.controllers, 'devices') || !work.wanted.includes('devices')) return {};
  let program: DeviceProgram;
  try {
    program = new DeviceProgram(fullRules('default'));
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    work.missing['devices'] = error.found ?? 'no program may be loaded';
    return {};
  }
  try {
    const inner = path.join(directory, DEFAULT_DEVICES);
    await makeDirectory(inner);
    program.attach(inner);
    await enable(work, inner, controllers);
    return { defaultDevices: inner };
  } finally {
    program[Symbol.dispose]();
  }
}

async function openV2(work: Work, base: string, offered: readonly string[]): Promise<ParentHierarchy> {
  const directory = path.join(base, work.name);
  const controllers = await enable(
    work,
    base,
    offered.filter((c) => work.wanted.includes(c)),
  );
  await makeDirectory(directory);
  const usable = await enable(work, directory, controllers);
  const inner = await makeDefaultDevicesV2(work, directory, usable);
  return { version: 2, controllers: usable, directory, ...inner, files: new Set(await readdir(directory)) };
}

/** The hierarchy, or undefined with the reason noted for each of its controllers. */
async function unlessRefused(work: Work, names: readonly string[], open: () => Promise<ParentHierarchy>): Promise<ParentHierarchy[]> {
  try {
    return [await open()];
  } catch (error) {
    const e = error as NodeJS.ErrnoException;
    if (!REFUSALS.has(e.code ?? '')) throw syscallErrorFrom(error, `make the cgroup parent ${JSON.stringify(work.name)}`);
    for (const n of names) work.missing[n] = `${e.syscall} ${e.path} failed (${e.code})`;
    return [];
  }
}

/** v1 controllers that share a hierarchy share a directory too. */
function groupV1(work: Work): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const [name, place] of Object.entries(work.host.controllers)) {
    if (!work.wanted.includes(name)) continue;
    if (place.reason !== undefined) work.missing[name] = place.reason;
    if (place.version !== 1 || !place.writable || place.parentDirectory === undefined) continue;
    groups.set(place.parentDirectory, [...(groups.get(place.parentDirectory) ?? []), name]);
  }
  return groups;
}

async function openUnified(work: Work, moveSelf: boolean): Promise<Pick<ParentFacts, 'hierarchies' | 'restore'>> {
  const place = work.host.unified;
  if (place === null || !place.writable) return { hierarchies: [] };
  const own = place.directory;
  const wanted = work.wanted.filter((c) => place.available.includes(c));
  const offers = place.parentDirectory === own && wanted.every((c) => place.controllers.includes(c));
  // Moved before, by us or by another of our kind: then the place above gives all of them.
  const moved = path.basename(own) === `${work.name}-self`;
  if (!moveSelf || moved || offers)
    return { hierarchies: await unlessRefused(work, ['unified'], () => openV2(work, place.parentDirectory, place.controllers)) };
  const leaf = path.join(own, `${work.name}-self`);
  await emptyIntoLeaf(own, leaf);
  for (const c of wanted) delete work.missing[c];
  const hierarchies = await unlessRefused(work, ['unified'], () => openV2(work, own, wanted));
  return { hierarchies, restore: () => restoreFromLeaf(own, leaf) };
}

/** The CPUs or memory nodes that children may be given. */
function offered(hierarchies: readonly ParentHierarchy[], what: 'cpus' | 'mems'): ReadonlySet<number> | null {
  const h = hierarchies.find((x) => x.controllers.includes('cpuset'));
  const text = h === undefined ? null : tryRead(path.join(h.directory, effectiveFile(h.version, what)));
  return text === null ? null : parseCpuList(text);
}

function checkOptions(o: OpenParentOptions): void {
  if (typeof o !== 'object' || o === null) throw new InvalidArgumentError('options', 'an object', o);
  for (const key of Object.keys(o))
    if (!OPTIONS.includes(key)) throw new InvalidArgumentError(`options.${key}`, `one of ${OPTIONS.join(', ')}`, key);
  const { controllers = [], moveSelf = false, driver = 'cgroupfs', slice } = o;
  if (!Array.isArray(controllers) || !controllers.every((c) => typeof c === 'string' && /^[a-z_]{1,40}$/.test(c)))
    throw new InvalidArgumentError('options.controllers', 'a list of controllers such as ["memory", "pids"]', controllers);
  if (typeof moveSelf !== 'boolean') throw new InvalidArgumentError('options.moveSelf', 'true or false', moveSelf);
  if (driver !== 'cgroupfs' && driver !== 'systemd') throw new InvalidArgumentError('options.driver', '"cgroupfs" or "systemd"', driver);
  if (slice === undefined) return;
  if (driver !== 'systemd') throw new InvalidArgumentError('options.slice', 'left out without driver: "systemd"', slice);
  if (typeof slice !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9:_.-]{0,190}\.slice$/.test(slice))
    throw new InvalidArgumentError('options.slice', 'the name of a slice such as "machine.slice"', slice);
}

/**
 * Makes, or finds, the cgroup `name` below the one that this process is in, in every hierarchy that this user may
 * write, and prepares it for children: enables v2 controllers, fills v1 cpusets, writes the default device rules once.
 *
 * Where nothing may be written (an ordinary user without delegation) it makes nothing and does not fail: see
 * {@link CgroupParent.usable} and {@link CgroupParent.missing}. A limit is then refused by {@link describeCgroup}.
 *
 * @remarks On v2 a cgroup that holds processes cannot give controllers to its children. Then the parent is made in the
 * nearest cgroup above that can, if this user may write it; or see {@link OpenParentOptions.moveSelf}.
 * @param name 1 to 200 of a-z 0-9 . _ -, the first a letter or digit
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a bad name or option
 * @throws {UnsupportedError} CTR_UNSUPPORTED when this is not Linux, or for the driver 'systemd' where systemd does not run
 * @throws {SystemdError} CTR_SYSTEMD when systemd refuses the scope
 * @throws {SyscallError} ENOSPC and others when the kernel refuses for another reason than missing permission
 * @see {@link https://docs.kernel.org/admin-guide/cgroup-v2.html#no-internal-process-constraint}
 * @example
 * ```ts
 * await using parent = await openParent('my-tool')
 * console.log(parent.usable, parent.missing)
 * ```
 */
export async function openParent(name: string, options: OpenParentOptions = {}): Promise<CgroupParent> {
  checkName(name, 'name');
  checkOptions(options);
  assertLinux('cgroups');
  const leave = options.driver === 'systemd' ? await enterScope(name, options.slice) : undefined;
  try {
    const facts = await open(name, options);
    return new CgroupParent(leave === undefined ? facts : { ...facts, restore: () => inTurn(facts.restore, leave) });
  } catch (error) {
    await leave?.();
    throw error;
  }
}

async function inTurn(first: (() => Promise<void>) | undefined, then: () => Promise<void>): Promise<void> {
  await first?.();
  await then();
}

async function open(name: string, options: OpenParentOptions): Promise<ParentFacts> {
  const wanted = [...new Set(options.controllers ?? [...V1_CONTROLLERS, ...V2_CONTROLLERS])];
  const host = await detectWith(wanted);
  const work: Work = { name, host, wanted, missing: {} };
  const v1: ParentHierarchy[] = [];
  for (const [base, controllers] of groupV1(work))
    v1.push(...(await unlessRefused(work, controllers, () => openV1(work, base, controllers))));
  const v2 = await openUnified(work, options.moveSelf ?? options.driver === 'systemd');
  const hierarchies = [...v1, ...v2.hierarchies];
  return {
    name,
    host,
    missing: work.missing,
    ...v2,
    hierarchies,
    cpus: offered(hierarchies, 'cpus'),
    mems: offered(hierarchies, 'mems'),
  };
}
