// From "in the right namespaces" to execve: what spawn and enter have in common.
import type { Fd } from '@ctr/internal/fd';
import { named, type Step, slot } from '@ctr/internal/steps';
import type { StepGroup } from '../plan/plan.js';
import type { SeccompFilter } from '../seccomp/load.js';
import { signalNumber } from '../signals.js';
import { closeFds, FIRST_PRIVATE_FD } from '../steps/close-fds.js';
import { placeFds } from '../steps/extra-fds.js';
import { AT_FDCWD, openFlags, openHow } from '../steps/flags.js';
import {
  dieWithMonitor,
  dropBounding,
  keepCapabilities,
  keepRightToFilter,
  LISTENER_SLOT,
  loadSeccomp,
  noNewPrivileges,
  type Setgroups,
  setCapabilities,
  setRlimits,
  setUser,
} from '../steps/identity.js';
import { keep } from '../steps/keep.js';
import { restrictSelf } from '../steps/landlock.js';
import { beforeParking, PARK_SLOT, park } from '../steps/park.js';
import { makeDirectories } from '../steps/paths.js';
import { executeInit } from '../steps/reaper.js';
import { attributeSteps, initNumber, keptFds, labelOf, labelSteps } from './attribute-steps.js';
import type { ProgramOptions } from './options.js';

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** `init` is of spawn() alone. */
type Program = ProgramOptions & { init?: boolean };

const NO_STDIO = [undefined, undefined, undefined];

const setDumpable = (value: 0 | 1, doing: string): Step => ({ call: 'prctl', args: [named(4, 'PR_SET_DUMPABLE'), value, 0, 0, 0], doing });

/**
 * Through the host's /proc, while it can be seen, and before the ids change. The files of a process that is not dumpable
 * are root's (proc(5)): another user's process is dumpable for this moment, to that user's own processes.
 */
export function setOomScoreAdj(value: number | undefined, asRoot: boolean): Step[] {
  if (value === undefined) return [];
  const doing = `set oom_score_adj to ${value}`;
  const path = '/proc/self/oom_score_adj';
  const text = Buffer.from(String(value));
  return [
    ...(asRoot ? [] : [setDumpable(1, doing)]),
    { call: 'openat', args: [AT_FDCWD, path, openFlags('O_WRONLY', 'O_CLOEXEC')], into: 'oom', doing },
    { call: 'write', args: [slot('oom'), { bytes: text, text: `"${value}"` }, text.length], doing, path },
    { call: 'close', args: [slot('oom')] },
    ...(asRoot ? [] : [setDumpable(0, doing)]),
  ];
}

/** dup3 of what was given; /dev/null is there already, the monitor's own. */
export const connectStdio = (stdio: readonly (string | undefined)[]): readonly Step[] =>
  keep(`stdio ${stdio.join()}`, () =>
    stdio.flatMap((from, n): Step[] =>
      from === undefined ? [] : [{ call: 'dup3', args: [slot(from), n, 0], doing: 'connect the standard streams' }],
    ),
  );

/** No part of the path may be a magic link: /proc/self/fd/7 must not lead out (CVE-2024-21626). */
function changeDirectory(o: ProgramOptions): Step[] {
  const cwd = o.cwd ?? '/';
  const doing = `change to the working directory ${cwd}`;
  return [
    ...(o.createCwd && cwd !== '/' ? makeDirectories(cwd, doing) : []),
    {
      call: 'openat2',
      args: [AT_FDCWD, cwd, openHow(['O_PATH', 'O_DIRECTORY', 'O_CLOEXEC'], ['RESOLVE_NO_MAGICLINKS']), 24],
      into: 'cwd',
      doing,
    },
    { call: 'fchdir', args: [slot('cwd')], doing, path: cwd },
  ];
}

/** execve of each candidate of PATH in turn; the last one's failure is the one that is told. */
export function execute(o: Pick<Program, 'args' | 'argv0' | 'env' | 'init' | 'fds'>): Step[] {
  const program = o.args[0] ?? '';
  const args = o.argv0 === undefined ? o.args : [o.argv0, ...o.args.slice(1)];
  const argv = { strings: args };
  const variables = Object.entries(o.env ?? {}).map(([k, v]) => `${k}=${v}`);
  // Shown by their number alone: they may hold secrets, and errors are logged.
  const envp = { strings: variables, text: `[${variables.length} variables]` };
  const candidates = program.includes('/')
    ? [program]
    : (o.env?.['PATH'] || DEFAULT_PATH).split(':').map((d) => `${d === '' ? '.' : d}/${program}`);
  if (o.init) return executeInit(initNumber(o), { program, candidates, argv: args, envp });
  return candidates.map(
    (path, i): Step => ({
      call: 'execve',
      args: [path, argv, envp],
      doing: `run ${program}`,
      path: program,
      ...(i < candidates.length - 1 ? { allow: ['ENOENT', 'ENOTDIR', 'EACCES'] } : {}),
    }),
  );
}

/** Without no_new_privs a filter is loaded by CAP_SYS_ADMIN (seccomp(2)), which the program may not be to have: it goes last then. */
const filtersWithRights = (o: ProgramOptions): boolean => o.seccomp !== undefined && !o.noNewPrivileges;

/** Ids, groups, capabilities: in the order in which each still has the right to do its part. */
function identity(o: Program, setgroups: Setgroups, socket: string | undefined): Step[] {
  const { user, capabilities } = o;
  const early = filtersWithRights(o);
  const kept = keptFds(o);
  const label = labelSteps(o);
  // CAP_SYS_ADMIN is enough while it is there; without it no_new_privs must come first.
  const restrict = o.landlock ? [...label.open, restrictSelf()] : [];
  return [
    ...(o.noNewPrivileges ? [] : restrict),
    ...(capabilities ? dropBounding(capabilities.bounding) : []),
    ...(user && user.uid !== 0 && (early || (capabilities && capabilities.permitted.length > 0)) ? [keepCapabilities()] : []),
    ...(user ? setUser(user, { setgroups }) : []),
    { call: 'umask', args: [user?.umask ?? 0o022] },
    ...(early ? keepRightToFilter(user, capabilities) : capabilities ? setCapabilities(capabilities) : []),
    ...(o.noNewPrivileges ? [noNewPrivileges()] : []),
    ...(o.noNewPrivileges ? restrict : []),
    ...(o.landlock ? [] : label.open),
    ...label.write,
    ...dieWithMonitor(o.parentDeathSignal === undefined ? undefined : signalNumber(o.parentDeathSignal)),
    ...(kept.length > 0 ? placeFds(kept, socket) : [closeFds(FIRST_PRIVATE_FD, socket)]),
  ];
}

const filters = new WeakMap<Uint8Array, readonly Step[]>();

function filter(given: Uint8Array | SeccompFilter | undefined): readonly Step[] {
  if (!given) return [];
  // Most come alone and for many programs: one group for each.
  if (!(given instanceof Uint8Array)) return [loadSeccomp(given)];
  const known = filters.get(given);
  if (known) return known;
  const group = Object.freeze([loadSeccomp({ program: given })]);
  filters.set(given, group);
  return group;
}

/** Whether the start hands a listener over. */
const listens = ({ seccomp }: ProgramOptions): boolean =>
  seccomp !== undefined && !(seccomp instanceof Uint8Array) && seccomp.onListener !== undefined;

/** The socket for a listener, in the slots of a plan; made when the plan is executed. */
export const listenerFds = (o: ProgramOptions, placeholder: number): Record<string, number> =>
  listens(o) ? { [LISTENER_SLOT]: placeholder } : {};

const enterDirectory = (o: ProgramOptions): readonly Step[] => keep(`cwd ${o.createCwd} ${o.cwd}`, () => changeDirectory(o));

/** `socket`: the slot of one that stays open until exec; `last`: what is done just before the filter. */
function limitsAndRights(o: Program, setgroups: Setgroups, socket: string | undefined, last: StepGroup = []): StepGroup[] {
  const late = [Boolean(o.landlock), labelOf(o), o.parentDeathSignal, keptFds(o)];
  const who = JSON.stringify([o.user, o.capabilities, o.noNewPrivileges, setgroups, socket, filtersWithRights(o), ...late]);
  return [
    // After the last descriptor was opened, since the limit of their number may be below those that are open now.
    keep(`rlimits ${JSON.stringify(o.rlimits)}`, () => setRlimits(o.rlimits ?? {})),
    attributeSteps(o),
    keep(`identity ${who}`, () => identity(o, setgroups, socket)),
    last,
    filter(o.seccomp),
    filtersWithRights(o) && o.capabilities ? setCapabilities(o.capabilities) : [],
  ];
}

/** Everything after the mounts. */
export const programSteps = (o: Program, setgroups: Setgroups): StepGroup[] => [
  enterDirectory(o),
  ...limitsAndRights(o, setgroups, listens(o) ? LISTENER_SLOT : undefined),
  execute(o),
];

/** A directory that cannot come to be another one while a process waits. */
const staysTheSame = ({ cwd = '/' }: ProgramOptions): boolean => cwd === '/';

/** The same for a process that is to wait for its program: all that can be done before. */
export const parkingSteps = (o: Program, setgroups: Setgroups): StepGroup[] => [
  staysTheSame(o) ? enterDirectory(o) : [],
  ...limitsAndRights(
    o,
    setgroups,
    PARK_SLOT,
    keep('before parking', () => beforeParking()),
  ),
  keep('park', () => [park()]),
];

/** What is left for it to do; `stdio`: the slots of its streams. It has not the right any more to make its working directory. */
export const parkedSteps = (o: ProgramOptions, program: StepGroup, stdio: readonly (string | undefined)[]): StepGroup[] => [
  staysTheSame(o) ? [] : enterDirectory({ ...o, createCwd: false }),
  connectStdio(stdio),
  program,
];

/** Descriptors that travel with the plan for the standard streams. */
export function stdioFds(o: ProgramOptions): { slots: (string | undefined)[]; borrowed: Record<string, number>; pipes: number[] } {
  // A terminal is connected later, when there is one.
  if (o.tty) return { slots: NO_STDIO, borrowed: {}, pipes: [] };
  const stdio = o.stdio ?? ['ignore', 'pipe', 'pipe'];
  const borrowed: Record<string, number> = {};
  const pipes: number[] = [];
  const slots = stdio.map((s, n) => {
    const name = ['stdin', 'stdout', 'stderr'][n] as string;
    if (s === 'ignore') return undefined;
    if (s === 'pipe') pipes.push(n);
    else borrowed[name] = s === 'inherit' ? n : (s as Fd).fd;
    return name;
  });
  return { slots, borrowed, pipes };
}
