// The checks of the further attributes.
import { UnsupportedError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { signalNumber } from '../signals.js';
import { LANDLOCK_SCOPES, LANDLOCK_WORDS, type Landlock, neededAbi } from '../steps/landlock.js';
import { MEMORY_FLAGS, MEMORY_MODES, type MemoryPolicy } from '../steps/memory-policy.js';
import { PERSONALITY_DOMAINS, PERSONALITY_FLAGS, type Personality } from '../steps/personality.js';
import { IO_CLASSES, type IoPriority, SCHED_FLAGS, SCHED_POLICIES, type Scheduler } from '../steps/scheduling.js';
import type { Lsm } from '../steps/security-label.js';
import { labelOf } from './attribute-steps.js';
import type { ProcessAttributes } from './attributes.js';
import { absolute, boolean, checkKeys, fail, integer, list, object, text } from './check-values.js';
import { activeLsm, landlockAbi } from './host-facts.js';
import { parseNumberList } from './number-list.js';

export const ATTRIBUTE_KEYS =
  'scheduler nice ioPriority cpuAffinity memoryPolicy personality keyring landlock apparmorProfile selinuxLabel fds parentDeathSignal notifySocket'.split(
    ' ',
  );
const MAX_FD = 65_535;
const MAX_FDS = 32;

function word(value: unknown, table: object, path: string): void {
  if (typeof value !== 'string' || !Object.hasOwn(table, value)) fail(path, `one of ${Object.keys(table).join(', ')}`, value);
}

function words(value: unknown, table: object, path: string): void {
  list(value, path).forEach((w, i) => {
    word(w, table, `${path}[${i}]`);
  });
}

function checkScheduler(s: Scheduler): void {
  object(s, 'scheduler');
  checkKeys(s, ['policy', 'nice', 'priority', 'flags', 'runtime', 'deadline', 'period'], 'scheduler');
  word(s.policy, SCHED_POLICIES, 'scheduler.policy');
  if (s.nice !== undefined) integer(s.nice, 'scheduler.nice', -20, 19);
  if (s.priority !== undefined) integer(s.priority, 'scheduler.priority', 0, 99);
  if (s.flags !== undefined) words(s.flags, SCHED_FLAGS, 'scheduler.flags');
  for (const key of ['runtime', 'deadline', 'period'] as const)
    if (s[key] !== undefined) integer(s[key], `scheduler.${key}`, 0, Number.MAX_SAFE_INTEGER);
}

function checkIoPriority(io: IoPriority): void {
  object(io, 'ioPriority');
  checkKeys(io, ['class', 'priority'], 'ioPriority');
  word(io.class, IO_CLASSES, 'ioPriority.class');
  if (io.priority !== undefined) integer(io.priority, 'ioPriority.priority', 0, 7);
}

function checkMemoryPolicy(m: MemoryPolicy): void {
  object(m, 'memoryPolicy');
  checkKeys(m, ['mode', 'nodes', 'flags'], 'memoryPolicy');
  word(m.mode, MEMORY_MODES, 'memoryPolicy.mode');
  if (m.nodes) parseNumberList(m.nodes, 'memoryPolicy.nodes', 1023);
  if (m.flags !== undefined) words(m.flags, MEMORY_FLAGS, 'memoryPolicy.flags');
}

function checkPersonality(p: Personality): void {
  object(p, 'personality');
  checkKeys(p, ['domain', 'flags'], 'personality');
  word(p.domain, PERSONALITY_DOMAINS, 'personality.domain');
  if (p.flags !== undefined) words(p.flags, PERSONALITY_FLAGS, 'personality.flags');
}

function checkPorts(tcp: NonNullable<Landlock['tcp']>): void {
  object(tcp, 'landlock.tcp');
  checkKeys(tcp, ['bind', 'connect'], 'landlock.tcp');
  for (const key of ['bind', 'connect'] as const)
    list(tcp[key] ?? [], `landlock.tcp.${key}`).forEach((port, i) => {
      integer(port, `landlock.tcp.${key}[${i}]`, 0, 65_535);
    });
}

function checkLandlock(l: Landlock): void {
  object(l, 'landlock');
  checkKeys(l, ['paths', 'tcp', 'scope'], 'landlock');
  const known = Object.fromEntries(LANDLOCK_WORDS.map((w) => [w, 0]));
  list(l.paths, 'landlock.paths').forEach((rule, i) => {
    const at = `landlock.paths[${i}]`;
    object(rule, at);
    checkKeys(rule as object, ['path', 'access'], at);
    const { path, access } = rule as Landlock['paths'][number];
    absolute(path, `${at}.path`);
    words(access, known, `${at}.access`);
    if (access.length === 0) fail(`${at}.access`, 'at least one right', access);
  });
  if (l.tcp !== undefined) checkPorts(l.tcp);
  if (l.scope !== undefined) words(l.scope, Object.fromEntries(LANDLOCK_SCOPES.map((w) => [w, 0])), 'landlock.scope');
  const [abi, needed] = [landlockAbi(), neededAbi(l)];
  if (abi < needed)
    throw new UnsupportedError(
      needed > 1 ? `this part of landlock (version ${needed} of its interface)` : 'landlock',
      abi === 0 ? 'a kernel with Landlock, and landlock among its lsm= parameters' : `a newer kernel: this one has version ${abi}`,
    );
}

function checkFds(fds: NonNullable<ProcessAttributes['fds']>): void {
  object(fds, 'fds');
  const entries = Object.entries(fds);
  if (entries.length > MAX_FDS) fail('fds', `at most ${MAX_FDS} descriptors`, entries.length);
  for (const [n, fd] of entries) {
    if (!/^\d+$/.test(n)) fail('fds', 'numbers of descriptors', n);
    integer(Number(n), 'fds', 3, MAX_FD);
    if (!Fd.is(fd) || fd.closed) fail(`fds[${n}]`, 'an open Fd', fd);
  }
}

function checkLabel(o: ProcessAttributes): void {
  const wanted = labelOf(o);
  if (wanted === undefined) return;
  const key = wanted.lsm === 'apparmor' ? 'apparmorProfile' : 'selinuxLabel';
  text(wanted.label, key, 4000);
  if (wanted.label === '') fail(key, 'a label', '');
  if (o.apparmorProfile !== undefined && o.selinuxLabel !== undefined)
    fail('selinuxLabel', 'left out with apparmorProfile', o.selinuxLabel);
  requireLsm(wanted.lsm, key);
}

function requireLsm(lsm: Lsm, key: string): void {
  if (activeLsm(lsm)) return;
  throw new UnsupportedError(key, `a host with ${lsm === 'apparmor' ? 'AppArmor' : 'SELinux'}, which this one has not active`);
}

/** @throws InvalidArgumentError; UnsupportedError where nothing would heed it. */
export function checkMountLabel(label: string): void {
  text(label, 'mountLabel', 4000);
  if (label === '') fail('mountLabel', 'a label', '');
  requireLsm('selinux', 'mountLabel');
}

/** @throws InvalidArgumentError; UnsupportedError for what this kernel has not. */
export function checkAttributes(o: ProcessAttributes): void {
  if (o.scheduler !== undefined) checkScheduler(o.scheduler);
  if (o.nice !== undefined) {
    integer(o.nice, 'nice', -20, 19);
    if (o.scheduler !== undefined) fail('nice', 'left out with scheduler, which has its own', o.nice);
  }
  if (o.ioPriority !== undefined) checkIoPriority(o.ioPriority);
  if (o.cpuAffinity !== undefined) parseNumberList(o.cpuAffinity, 'cpuAffinity');
  if (o.memoryPolicy !== undefined) checkMemoryPolicy(o.memoryPolicy);
  if (o.personality !== undefined) checkPersonality(o.personality);
  if (o.keyring !== undefined) word(o.keyring, { new: 0, inherit: 0 }, 'keyring');
  if (o.landlock !== undefined) checkLandlock(o.landlock);
  checkLabel(o);
  if (o.fds !== undefined) checkFds(o.fds);
  if (o.parentDeathSignal !== undefined) signalNumber(o.parentDeathSignal, 'parentDeathSignal');
  if (o.notifySocket !== undefined) boolean(o.notifySocket, 'notifySocket');
}
