// Changing limits of a cgroup in use: all or nothing.
import { InvalidArgumentError, syscallErrorFrom } from '@ctr/internal/errors';
import { parseLimit } from './controllers/controller.js';
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
};

interface Write {
  readonly file: string;
  readonly value: string;
  readonly option: string;
}

/** What is not asked for stays: v1's sum of memory and swap keeps the swap that is allowed now. */
function keepSwap(directories: CgroupDirectories, r: Resources): Resources {
  const { memory, unified } = directories;
  if (r.memory === undefined || r.memorySwap !== undefined || memory === undefined || memory === unified) return r;
  const both = parseLimit(tryRead(`${memory}/${MEMSW}`));
  const one = parseLimit(tryRead(`${memory}/${LIMIT}`));
  return both === null || one === null ? r : { ...r, memorySwap: Math.max(0, both - one) };
}

/** v1 refuses any moment at which memory exceeds memory and swap together: growing begins with the sum. */
function inOrder(writes: readonly Write[]): Write[] {
  const limit = writes.find((w) => w.file.endsWith(`/${LIMIT}`));
  const both = writes.find((w) => w.file.endsWith(`/${MEMSW}`));
  if (limit === undefined || both === undefined) return [...writes];
  const now = parseLimit(tryRead(both.file));
  const pair = now !== null && Number(limit.value) > now ? [both, limit] : [limit, both];
  return [...writes.filter((w) => w !== limit && w !== both), ...pair];
}

async function restore(before: readonly Write[]): Promise<void> {
  for (const w of [...before].reverse()) await writeControl(w.file, w.value).catch(() => undefined);
}

async function apply(writes: readonly Write[]): Promise<void> {
  const before: Write[] = [];
  for (const w of writes) {
    try {
      const value = readControl(w.file).trim();
      await writeControl(w.file, w.value);
      before.push({ ...w, value });
    } catch (error) {
      await restore(before);
      throw syscallErrorFrom(error, `limit ${w.option} (write ${JSON.stringify(w.value)} to ${w.file})`, {
        hint: HINTS[codeOf(error) ?? ''],
      });
    }
  }
}

/** Checks all, then writes; when one write fails, those before it are undone. */
export async function updateLimits(directories: CgroupDirectories, resources: Resources): Promise<void> {
  checkResources(resources);
  if (resources.devices !== undefined)
    throw new InvalidArgumentError('resources.devices', 'left out: a cgroup keeps the device rules it was made with', resources.devices);
  const wanted = keepSwap(directories, resources);
  const limits = renderOrThrow(terrainOfCgroup(directories), wanted);
  // v2's swap limit is a file of its own: not asked for, not touched.
  const asked = limits.filter((l) => l.file !== 'memory.swap.max' || wanted.memorySwap !== undefined);
  await apply(inOrder(asked.map((l) => ({ option: l.option, file: `${directories[l.controller]}/${l.file}`, value: l.value }))));
}
