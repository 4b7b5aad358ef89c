// What the options must be together, as a table: each rule looks at the whole snapshot and names the option that is wrong.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import type { ExecSpec, RunSpec } from './run-schema.js';

interface Finding {
  path: string;
  expected: string;
  value: unknown;
}

type Rule = (spec: RunSpec) => Finding | undefined;

const when = (wrong: boolean, path: string, expected: string, value: unknown): Finding | undefined =>
  wrong ? { path, expected, value } : undefined;

/** Every place that something is mounted on, with the option that says so. */
function targets(spec: RunSpec): { target: string; path: string }[] {
  return [
    ...(spec.mounts ?? []).map((m, i) => ({ target: m.target, path: `mounts[${i}].target` })),
    ...[...(spec.tmpfs?.keys() ?? [])].map((target) => ({ target, path: `tmpfs[${JSON.stringify(target)}]` })),
  ];
}

function duplicateTarget(spec: RunSpec): Finding | undefined {
  const seen = new Set<string>();
  for (const { target, path } of targets(spec)) {
    if (seen.has(target)) return { path, expected: 'a target that nothing else is mounted on', value: target };
    seen.add(target);
  }
  return undefined;
}

function addedAndDropped(spec: RunSpec): Finding | undefined {
  const drop = spec.capabilities?.drop;
  if (drop === undefined || drop === 'all') return undefined;
  const i = (spec.capabilities?.add ?? []).findIndex((name) => drop.includes(name));
  return i < 0
    ? undefined
    : { path: `capabilities.add[${i}]`, expected: 'a capability that is not dropped too', value: spec.capabilities?.add?.[i] };
}

const numeric = (limit: number | 'unlimited'): number => (limit === 'unlimited' ? Number.POSITIVE_INFINITY : limit);

function softAboveHard(spec: RunSpec): Finding | undefined {
  for (const [name, limit] of spec.ulimits ?? []) {
    if (typeof limit !== 'object' || numeric(limit.soft) <= numeric(limit.hard)) continue;
    return { path: `ulimits.${name}.soft`, expected: 'at most the hard limit', value: limit.soft };
  }
  return undefined;
}

/** Without these of its own a container could not be shut off, or not be killed as a whole. */
function hostNamespace(spec: RunSpec): Finding | undefined {
  for (const name of ['pid', 'mount'] as const) {
    const place = spec.namespaces?.get(name);
    if (place !== undefined && place !== 'new')
      return { path: `namespaces.${name}`, expected: '"new": every container has its own', value: place };
  }
  return undefined;
}

const ownUts = (spec: RunSpec): boolean => (spec.namespaces?.get('uts') ?? 'new') === 'new';

type StreamRule = (spec: ExecSpec) => Finding | undefined;

const withTty = (s: ExecSpec, name: 'stdin' | 'stdout' | 'stderr', wrong: boolean, expected: string): Finding | undefined =>
  when(Boolean(s.tty) && wrong, name, expected, s[name]);

/** What holds for every program, in a new container or beside another. */
const STREAM_RULES: readonly StreamRule[] = [
  (s) => when(s.input !== undefined && s.stdin !== undefined && s.stdin !== 'pipe', 'input', 'left out when "stdin" is given', s.input),
  (s) => withTty(s, 'stderr', s.stderr !== undefined, 'left out with "tty": a terminal has one output'),
  (s) => withTty(s, 'stdin', Fd.is(s.stdin), 'a stream or a word with "tty"'),
  (s) => withTty(s, 'stdout', Fd.is(s.stdout), 'a stream or a word with "tty"'),
];

const RULES: readonly Rule[] = [
  (s) => when(s.image === undefined && s.rootfs === undefined, 'image', 'given, or "rootfs"', s.image),
  (s) => when(s.image !== undefined && s.rootfs !== undefined, 'rootfs', 'left out when "image" is given', s.rootfs),
  (s) =>
    when(
      s.rootfs !== undefined && !s.command?.length && !s.entrypoint?.length,
      'command',
      'given when there is no image to know it',
      s.command,
    ),
  (s) => when(s.command?.[0] === '' && !s.entrypoint?.length, 'command[0]', 'the name of a program', s.command?.[0]),
  (s) => when(s.entrypoint?.[0] === '', 'entrypoint[0]', 'the name of a program', s.entrypoint?.[0]),
  (s) => when(typeof s.image !== 'string' && s.pull !== undefined, 'pull', 'left out when "image" is not a reference', s.pull),
  (s) => when(s.network === 'host' && s.namespaces?.get('network') === 'new', 'namespaces.network', '"host" as "network" says', 'new'),
  (s) => when(s.hostname !== undefined && !ownUts(s), 'hostname', 'left out when the uts namespace is not a new one', s.hostname),
  (s) => when(s.domainname !== undefined && !ownUts(s), 'domainname', 'left out when the uts namespace is not a new one', s.domainname),
  (s) =>
    when(
      typeof s.userns === 'object' && s.namespaces?.get('user') === 'host',
      'userns',
      'left out when namespaces.user is "host"',
      s.userns,
    ),
  (s) =>
    when(
      s.resources?.memorySwap !== undefined && s.resources.memory === undefined,
      'resources.memorySwap',
      'left out when "memory" is not given',
      s.resources?.memorySwap,
    ),
  (s) =>
    when(
      (s.resources?.memoryReservation ?? 0) > (s.resources?.memory ?? Number.POSITIVE_INFINITY),
      'resources.memoryReservation',
      'at most "memory"',
      s.resources?.memoryReservation,
    ),
  duplicateTarget,
  addedAndDropped,
  softAboveHard,
  hostNamespace,
];

/** @throws {InvalidArgumentError} for the first rule that does not hold. */
export function checkRules(spec: RunSpec): void {
  refuse(RULES, spec);
  checkStreamRules(spec);
}

/** @throws {InvalidArgumentError} */
export function checkStreamRules(spec: ExecSpec): void {
  refuse(STREAM_RULES, spec);
}

function refuse<T>(rules: readonly ((spec: T) => Finding | undefined)[], spec: T): void {
  for (const rule of rules) {
    const found = rule(spec);
    if (found !== undefined) throw new InvalidArgumentError(found.path, found.expected, found.value);
  }
}
