// Changing limits of a cgroup in use: all or nothing.
import path from 'node:path';
import { errnoNumber, InvalidArgumentError, SyscallError, syscallErrorFrom } from '@ctr/internal/errors';
import { parseFlat, parseLimit, parseNumber } from './controllers/controller.js';
import { effectiveFile } from './controllers/cpuset.js';
import { fullRules } from './controllers/device-rules.js';
import { replaceDeviceProgram } from './device-programs.js';
import { codeOf, readControl, tryRead, writeControl } from './kernfs.js';
import type { CgroupDirectories } from './names.js';
import { renderOrThrow } from './plan/render.js';
import { terrainOfCgroup } from './plan/terrain.js';
import { checkResources, type Resources } from './resources.js';

const LIMIT = 'memory.limit_in_bytes';
const MEMSW = 'memory.memsw.limit_in_bytes';

const HINTS: Readonly<Record<string, string>> = {
  EBUSY: 'it uses more than that now, and the kernel could not take it away',
  EINVAL: 'the value does not fit the limits of the cgroups above or those already set',
  EACCES: 'this user may not write it',
  ENODEV: 'the kernel has no such device',
};

/** What {@link Cgroup.update} may be told. */
export interface UpdateOptions {
  /**
   * Refuses a memory limit below what is in use, as OCI's checkBeforeUpdate. v2 would begin to kill at once; v1 refuses it
   * by itself. Default: false.
   */
  readonly checkBeforeUpdate?: boolean | undefined;
}

interface Write {
  readonly file: string;
  readonly value: string;
  readonly option: string;
}

const onV1 = (directories: CgroupDirectories, controller: string): string | undefined => {
  const directory = directories[controller];
  return directory === directories['unified'] ? undefined : directory;
};

/** What is not asked for stays: v1's sum of memory and swap keeps the swap, or the memory, that is allowed now. */
function keepSwap(directories: CgroupDirectories, r: Resources): Resources {
  const memory = onV1(directories, 'memory');
  if (memory === undefined) return r;
  const one = parseLimit(tryRead(`${memory}/${LIMIT}`));
  if (typeof r.memorySwap === 'number' && r.memory === undefined) return one === null ? r : { ...r, memory: one };
  if (typeof r.memory !== 'number' || r.memorySwap !== undefined) return r;
  const text = tryRead(`${memory}/${MEMSW}`);
  const both = parseLimit(text);
  if (both === null) return text === null ? r : { ...r, memorySwap: null };
  // A limit that is set for the first time has no swap on top, as in a new cgroup.
  return one === null ? r : { ...r, memorySwap: Math.max(0, both - one) };
}

/** v1 reckons the quota by the period that is in its own file. */
function keepPeriod(directories: CgroupDirectories, r: Resources): Resources {
  const cpu = onV1(directories, 'cpu');
  if (cpu === undefined || typeof r.cpus !== 'number' || r.cpuPeriodUs !== undefined) return r;
  const period = parseNumber(tryRead(`${cpu}/cpu.cfs_period_us`));
  return period === null || period === 100_000 ? r : { ...r, cpuPeriodUs: period };
}

/** v1 knows no empty cpuset: to lift it is to have all of the cgroup above. */
function liftCpuset(directories: CgroupDirectories, r: Resources): Resources {
  const cpuset = onV1(directories, 'cpuset');
  if (cpuset === undefined) return r;
  const above = (what: 'cpus' | 'mems'): string => readControl(path.join(path.dirname(cpuset), effectiveFile(1, what))).trim();
  return {
    ...r,
    ...(r.cpusetCpus === null ? { cpusetCpus: above('cpus') } : {}),
    ...(r.cpusetMems === null ? { cpusetMems: above('mems') } : {}),
  };
}

const amount = (value: string): number => (value === 'max' || value === '-1' ? Number.POSITIVE_INFINITY : Number.parseInt(value, 10));

/** Pairs of which the kernel refuses any moment at which the first exceeds the second: growing begins with the second. */
const PAIRS = [
  [LIMIT, MEMSW],
  ['cpu.cfs_burst_us', 'cpu.cfs_quota_us'],
  ['cpu.max.burst', 'cpu.max'],
  ['cpu.uclamp.min', 'cpu.uclamp.max'],
] as const;

function inOrder(writes: readonly Write[]): Write[] {
  let all = [...writes];
  for (const [inner, outer] of PAIRS) {
    const a = all.find((w) => path.basename(w.file) === inner);
    const b = all.find((w) => path.basename(w.file) === outer);
    if (a === undefined || b === undefined) continue;
    const now = amount(tryRead(b.file)?.trim() ?? '');
    all = [...all.filter((w) => w !== a && w !== b), ...(amount(b.value) > now ? [b, a] : [a, b])];
  }
  return all;
}

/** Files that say what they hold in other words than they take. */
const ONE_WAY: Readonly<Record<string, (now: string, w: Write) => string[]>> = {
  'memory.oom_control': (now) => [String(parseFlat(now)['oom_kill_disable'] ?? 0)],
  'cpuset.cpus': (now) => [now === '' ? '\n' : now],
  'cpuset.mems': (now) => [now === '' ? '\n' : now],
  'cpuset.cpus.partition': (now) => [now.split(' ')[0] ?? 'member'],
  'devices.allow': () => [],
  'devices.deny': () => [],
};

/** Files with a line for each device or name: the lines of that name, or the text that lifts it. */
function lines(now: string, w: Write): string[] {
  const [name = ''] = w.value.split(' ');
  const before = now.split('\n').find((l) => l.startsWith(`${name} `));
  if (before !== undefined) return [before];
  if (w.file.endsWith('io.max')) return [`${name} rbps=max wbps=max riops=max wiops=max`];
  if (w.file.endsWith('io.latency')) return [`${name} target=0`];
  if (w.file.endsWith('weight')) return [`${name} default`];
  if (w.file.endsWith('rdma.max')) return [`${name} hca_handle=max hca_object=max`];
  return [`${name} ${w.file.endsWith('misc.max') ? 'max' : '0'}`];
}

const NAMED = new Set(['io', 'rdma', 'misc', 'netPriorities']);

/** The writes that bring back what a file held. */
function undoOf(w: Write): Write[] {
  const known = ONE_WAY[path.basename(w.file)];
  // devices.allow and devices.deny cannot be read.
  const now = known?.length === 0 ? '' : readControl(w.file).trim();
  const values = known?.(now, w) ?? (NAMED.has(w.option) ? lines(now, w) : [now.replace(/^default /, '')]);
  return values.map((value) => ({ ...w, value }));
}

async function restore(before: readonly Write[]): Promise<void> {
  for (const w of [...before].reverse()) await writeControl(w.file, w.value).catch(() => undefined);
}

async function apply(writes: readonly Write[]): Promise<() => Promise<void>> {
  const before: Write[] = [];
  for (const w of writes) {
    try {
      const undo = undoOf(w);
      await writeControl(w.file, w.value);
      before.push(...undo);
    } catch (error) {
      await restore(before);
      throw syscallErrorFrom(error, `limit ${w.option} (write ${JSON.stringify(w.value)} to ${w.file})`, {
        hint: HINTS[codeOf(error) ?? ''],
      });
    }
  }
  return () => restore(before);
}

function checkUse(directories: CgroupDirectories, r: Resources): void {
  const { memory, unified } = directories;
  if (typeof r.memory !== 'number' || memory === undefined || memory !== unified) return;
  const file = `${memory}/memory.current`;
  if ((parseNumber(tryRead(file)) ?? 0) <= r.memory) return;
  throw new SyscallError(
    { errno: errnoNumber('EBUSY'), syscall: 'write', path: `${memory}/memory.max`, doing: 'limit memory' },
    {
      hint: HINTS['EBUSY'],
    },
  );
}

/** v1's rules cannot be read back in the order they were given, so they stay as they were made. */
function checkDevices(directories: CgroupDirectories, r: Resources): void {
  if (r.devices === undefined || directories['devices'] === undefined) return;
  throw new InvalidArgumentError('resources.devices', 'left out: on v1 a cgroup keeps the device rules it was made with', r.devices);
}

/** Checks all, then writes; when one write fails, those before it are undone. */
export async function updateLimits(directories: CgroupDirectories, resources: Resources, o: UpdateOptions = {}): Promise<void> {
  checkResources(resources);
  checkDevices(directories, resources);
  const wanted = liftCpuset(directories, keepPeriod(directories, keepSwap(directories, resources)));
  const limits = renderOrThrow(terrainOfCgroup(directories), wanted);
  if (o.checkBeforeUpdate === true) checkUse(directories, wanted);
  // v2's swap limit is a file of its own: not asked for, not touched.
  const asked = limits.filter((l) => l.file !== 'memory.swap.max' || wanted.memorySwap !== undefined);
  const undo = await apply(
    inOrder(asked.map((l) => ({ option: l.option, file: `${directories[l.controller]}/${l.file}`, value: l.value }))),
  );
  if (wanted.devices === undefined) return;
  try {
    replaceDeviceProgram(directories['unified'], wanted.devices === 'all' ? null : fullRules(wanted.devices));
  } catch (error) {
    await undo();
    throw error;
  }
}
