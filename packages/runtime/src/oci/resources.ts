// Limits: our words -> OCI's, and OCI's -> those of @ctr/cgroups. What OCI has no word for goes by its cgroup v2 file name.

import { isDeepStrictEqual } from 'node:util';
import { type Resources, resourcesFromOci } from '@ctr/cgroups';
import { UnsupportedError } from '@ctr/internal/errors';
import type { RunSpec } from '../options/run-schema.js';
import { DEFAULT_PIDS, DEVICE_RULES } from './defaults.js';
import { type HostDevice, ruleOf } from './devices.js';
import type { HostFacts } from './host-facts.js';
import type { OciResources } from './types.js';

/** Length of a scheduling period in microseconds, as every engine has it. */
const PERIOD = 100_000;

type Limits = NonNullable<RunSpec['resources']>;

function pidsLimit(spec: RunSpec, host: HostFacts): number | undefined {
  const asked = spec.resources?.pids;
  if (asked !== undefined) return asked === 'unlimited' ? undefined : asked;
  return spec.preset === 'docker' || host.controllers['pids'] === undefined ? undefined : DEFAULT_PIDS;
}

/** The files of cgroup v2 that have no field of their own in OCI. */
function unified(limits: Limits, host: HostFacts): Record<string, string> {
  const group = limits.oomGroup ?? (limits.memory !== undefined && host.controllers['memory'] === 2 ? true : undefined);
  const named: Record<string, string | undefined> = {
    'cpu.weight': limits.cpuWeight?.toString(),
    'memory.high': limits.memoryHigh?.toString(),
    // One process killed by the kernel leaves a half-working container: better all of it.
    'memory.oom.group': group === undefined ? undefined : group ? '1' : '0',
  };
  const set = Object.entries(named).filter((e): e is [string, string] => e[1] !== undefined);
  return { ...Object.fromEntries(set), ...Object.fromEntries(limits.unified ?? []) };
}

const defined = <T extends object>(value: T): T | undefined => (Object.keys(value).length > 0 ? value : undefined);

function pick<T extends object>(value: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T;
}

/** Options -> OCI, with the defaults of the preset. */
export function toOciResources(spec: RunSpec, host: HostFacts, given: readonly HostDevice[] = []): OciResources | undefined {
  const limits: Limits = spec.resources ?? {};
  const { memory, memorySwap } = limits;
  const pids = pidsLimit(spec, host);
  const devices = limits.devices ?? (host.controllers['devices'] === undefined ? 'all' : 'default');
  const limited = given.find(({ access }) => !['r', 'w', 'm'].every((letter) => access.includes(letter)));
  if (limited !== undefined && devices !== 'default')
    throw new UnsupportedError(
      `the access ${JSON.stringify(limited.access)} alone to ${limited.source}`,
      'the devices controller of cgroups, and resources.devices: "default"',
    );
  return defined(
    pick<OciResources>({
      devices: devices === 'default' ? [...DEVICE_RULES, ...given.map(ruleOf)] : undefined,
      memory: defined(
        // OCI's "swap" is memory and swap together.
        pick({
          limit: memory,
          reservation: limits.memoryReservation,
          swap: memorySwap === undefined ? undefined : (memory ?? 0) + memorySwap,
        }),
      ),
      cpu: defined(
        pick({
          quota: limits.cpus === undefined ? undefined : Math.round(limits.cpus * PERIOD),
          period: limits.cpus === undefined ? undefined : PERIOD,
          cpus: limits.cpusetCpus,
          mems: limits.cpusetMems,
        }),
      ),
      pids: pids === undefined ? undefined : { limit: pids },
      unified: defined(unified(limits, host)),
    }),
  );
}

const NAMED_UNIFIED = ['cpu.weight', 'memory.high', 'memory.oom.group'];

/** To make a device file is not to use it. */
const MAKING: NonNullable<OciResources['devices']> = [
  { allow: true, type: 'c', access: 'm' },
  { allow: true, type: 'b', access: 'm' },
];

/** A list of one's own is followed by what every container may, as in runc. */
function devicesOf(rules: OciResources['devices']): Resources['devices'] {
  if (rules === undefined || rules.length === 0) return 'all';
  if (isDeepStrictEqual(rules, DEVICE_RULES)) return 'default';
  return resourcesFromOci({ devices: [...rules, ...MAKING, ...DEVICE_RULES.filter((rule) => rule.allow)] }).devices;
}

/** -1, no limit, is what a new group has; 0 is "not asked for". */
const asked = (limit: number | undefined): number | undefined => (limit === undefined || limit <= 0 ? undefined : limit);

/** OCI's is memory and swap together. Without a word about it there is none, which is less than the specification's. */
const swapOf = ({ limit, swap }: NonNullable<OciResources['memory']>): number | null | undefined =>
  swap === -1 ? null : swap === undefined || swap === 0 ? undefined : swap - (asked(limit) ?? 0);

/** OCI -> what @ctr/cgroups takes. */
export function fromOciResources(oci: OciResources = {}): Resources {
  const { memory = {}, unified: files = {}, devices, pids, cpu = {}, ...rest } = oci;
  const { limit: _, reservation: __, swap: ___, ...further } = memory;
  const weight = files['cpu.weight'];
  const high = files['memory.high'];
  const group = files['memory.oom.group'];
  const others = Object.fromEntries(Object.entries(files).filter(([name]) => !NAMED_UNIFIED.includes(name)));
  const said = resourcesFromOci({ ...rest, cpu, memory: further });
  return pick<Resources>({
    ...(Object.fromEntries(Object.entries(said).filter(([, value]) => value !== null)) as Resources),
    ...(weight === undefined ? {} : { cpuWeight: Number(weight) }),
    memory: asked(memory.limit),
    memoryReservation: asked(memory.reservation),
    memoryHigh: high === undefined ? undefined : Number(high),
    memorySwap: swapOf(memory),
    pids: asked(pids?.limit),
    oomGroup: group === undefined ? undefined : group === '1',
    unified: defined(others),
    devices: devicesOf(devices),
  });
}
