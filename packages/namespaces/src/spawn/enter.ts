// enter(): a further program inside a running process's namespaces, by pidfd and setns.
import { assertLinux, InvalidArgumentError } from '@ctr/internal/errors';
import { named, type Step, slot } from '@ctr/internal/steps';
import { STAGE_NAMES } from '../launcher/events.js';
import { type StartError, startError } from '../launcher/start-error.js';
import { differingNamespaces } from '../namespaces/differing.js';
import { callNative, closeFds } from '../native.js';
import { CLONE_FLAG_OF, CLONE_FLAGS, type NamespaceKind } from '../plan/clone-flags.js';
import type { Plan, StepGroup } from '../plan/plan.js';
import type { ContainerProcess } from '../process.js';
import type { Setgroups } from '../steps/identity.js';
import { PARK_SLOT } from '../steps/park.js';
import { setAffinity } from '../steps/scheduling.js';
import { openHostProc } from '../steps/security-label.js';
import { extraFds, labelOf } from './attribute-steps.js';
import { checkEnterOptions } from './check-options.js';
import { executePlan } from './execute-plan.js';
import { defaultHints } from './hints.js';
import { downgrade } from './legacy/downgrade.js';
import { learnFrom } from './legacy/missing.js';
import { parseNumberList } from './number-list.js';
import type { EnterOptions } from './options.js';
import { PIPE_PLACEHOLDER } from './placeholder.js';
import { connectStdio, listenerFds, parkingSteps, programSteps, setOomScoreAdj, stdioFds } from './program-steps.js';
import { checkGroups, maySetGroups } from './setgroups.js';
import { terminalOf } from './terminal-steps.js';
import { verifyLabel } from './verify-label.js';

const ESRCH = 3;

/** All at once, so that rights in the user namespace are there for the others (setns(2), pidfd form). */
function join(kinds: readonly NamespaceKind[], pid: number): Step[] {
  if (kinds.length === 0) return [];
  const value = kinds.reduce((v, k) => v | (CLONE_FLAGS[CLONE_FLAG_OF[k]] as number), 0);
  return [
    {
      call: 'setns',
      args: [slot('target'), named(value, kinds.map((k) => CLONE_FLAG_OF[k]).join('|'))],
      doing: `join the namespaces of process ${pid}`,
    },
  ];
}

/**
 * What is joined before the program's process is cloned, and what it joins itself. Where it is cloned into a cgroup, the cgroup namespace comes
 * after that: with nsdelegate, as systemd mounts cgroup2, nobody moves a process from outside of his own cgroup namespace, and the one in between
 * is outside of the container's (cgroup_procs_write_permission in kernel/cgroup/cgroup.c: ENOENT).
 */
function joinedWhen(
  kinds: readonly NamespaceKind[],
  o: EnterOptions,
): { before: readonly NamespaceKind[]; itself: readonly NamespaceKind[] } {
  const others = kinds.filter((kind) => kind !== 'cgroup');
  if (o.cgroup?.cloneInto === undefined || others.length === kinds.length || others.length === 0) return { before: kinds, itself: [] };
  return { before: others, itself: ['cgroup'] };
}

/** What needs the host's files, or is to hold before the cgroup is entered; a child has both from the process in between. */
const beforeJoining = (o: EnterOptions): Step[] => [
  ...(o.initialCpuAffinity === undefined
    ? []
    : [setAffinity(parseNumberList(o.initialCpuAffinity, 'initialCpuAffinity'), o.initialCpuAffinity)]),
  ...(labelOf(o) ? [openHostProc()] : []),
];

/** Whether it can be left out when what it opens is open already. */
const onlyOpens = (steps: readonly Step[] = []): boolean =>
  steps.length > 0 && steps.every((step) => step.call === 'openat' && step.into !== undefined);

/** `pidfd` is borrowed; `keep` as in {@link Plan}. */
interface EnterTarget {
  readonly pid: number;
  readonly pidfd: number;
  readonly keep?: NonNullable<Plan['keep']>;
}

/** A process beside another one; `setup` is what it does in its session. */
function planBeside(
  target: EnterTarget,
  o: EnterOptions,
  kinds: readonly NamespaceKind[],
  fds: Readonly<Record<string, number>>,
  setup: readonly StepGroup[],
): Plan {
  const joined = joinedWhen(kinds, o);
  return {
    doing: o.doing ?? `run ${o.args[0]} beside process ${target.pid}`,
    cloneFlags: [],
    ...(o.cgroup?.cloneInto === undefined ? {} : { cgroup: o.cgroup.cloneInto }),
    ...(kinds.includes('pid') ? { pidNamespaceOf: 'target' } : {}),
    ...(target.keep !== undefined && onlyOpens(o.cgroup?.prepare) ? { keep: target.keep } : {}),
    fds,
    stages: {
      prepare: [o.cgroup?.prepare ?? []],
      beside: [],
      // Before the mount namespace changes, oom_score_adj is the host's file; the child inherits the value.
      enter: [beforeJoining(o), setOomScoreAdj(o.oomScoreAdj, (process.geteuid?.() ?? 0) === 0), join(joined.before, target.pid)],
      setup: [o.cgroup?.setup ?? [], join(joined.itself, target.pid), [{ call: 'setsid', args: [], doing: 'make a session' }], ...setup],
      kill: [],
      collect: [o.cgroup?.collect ?? []],
      cleanup: [o.cgroup?.cleanup ?? []],
    },
  };
}

/** @throws InvalidArgumentError */
function setgroupsBeside(o: EnterOptions, kinds: readonly NamespaceKind[]): Setgroups {
  const setgroups = kinds.includes('user') ? 'try' : maySetGroups();
  checkGroups(o.user, setgroups);
  return setgroups;
}

/** What enter() would do, as data. */
export function describeEnter(target: EnterTarget, o: EnterOptions, kinds: readonly NamespaceKind[]): Plan {
  const stdio = stdioFds(o);
  const fds: Record<string, number> = {
    target: target.pidfd,
    ...stdio.borrowed,
    ...listenerFds(o, PIPE_PLACEHOLDER),
    ...extraFds(o),
  };
  for (const n of stdio.pipes) fds[stdio.slots[n] as string] = PIPE_PLACEHOLDER;
  const setup = [connectStdio(stdio.slots), o.tty ? terminalOf(o, fds) : [], ...programSteps(o, setgroupsBeside(o, kinds))];
  return planBeside(target, o, kinds, fds, setup);
}

/** A process that waits there for its program. */
export const describeParked = (target: EnterTarget, o: EnterOptions, kinds: readonly NamespaceKind[]): Plan => ({
  ...planBeside(target, o, kinds, { target: target.pidfd, [PARK_SLOT]: PIPE_PLACEHOLDER }, parkingSteps(o, setgroupsBeside(o, kinds))),
  doing: `park a process beside process ${target.pid}`,
  parks: true,
});

/** What the kernel says of a process that has ended; its pid may by now be another process's. */
export function endedError({ pid, namespaces }: ContainerProcess, o: EnterOptions): StartError {
  const plan = describeEnter({ pid, pidfd: -1 }, o, o.namespaces ?? namespaces);
  return startError(
    plan,
    STAGE_NAMES.indexOf('enter'),
    { step: plan.stages.enter.flat().length - 1, errno: ESRCH },
    o.hints ?? defaultHints,
  );
}

/**
 * Runs a further program inside the namespaces of a running process: docker exec, nsenter.
 * Rights, limits and filter are only those that are given here; nothing is read from inside the container.
 *
 * @param target A process of spawn(), or the pid of any process that this one may enter.
 * @throws InvalidArgumentError CTR_INVALID_ARGUMENT; StartError CTR_START_FAILED, code ESRCH when the target has ended.
 * @remarks Linux 5.8 (setns with a pidfd).
 * @see <https://man7.org/linux/man-pages/man2/setns.2.html>
 * @example
 * ```ts
 * const ps = await enter(box, { args: ['ps', 'ax'] })
 * ```
 */
export async function enter(target: ContainerProcess | number, options: EnterOptions): Promise<ContainerProcess> {
  checkEnterOptions(options);
  assertLinux('enter()');
  const pid = typeof target === 'number' ? target : target.pid;
  if (!Number.isInteger(pid) || pid <= 0) throw new InvalidArgumentError('target', 'a process or its pid', target);
  if (typeof target !== 'number' && target.ended) throw endedError(target, options);
  // One descriptor for the look and for the deed: the pid cannot come to mean another process in between.
  const pidfd =
    typeof target === 'number'
      ? callNative(`open process ${pid}`, (b) => b.pidfdOpen(pid))
      : callNative(`open process ${pid}`, (b) => b.dup(target.pidfd.fd));
  try {
    const kinds = options.namespaces ?? (typeof target === 'number' ? differingNamespaces(pid) : target.namespaces);
    const plan = downgrade(describeEnter({ pid, pidfd }, options, kinds));
    const started = await executePlan(plan, kinds, options);
    return labelOf(options) ? await verifyLabel(started, options) : started;
  } catch (error) {
    if (!learnFrom(error)) throw error;
    return await enter(target, options);
  } finally {
    closeFds([pidfd]);
  }
}
