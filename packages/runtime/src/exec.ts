// Starts a further program in a running container.
import { type CgroupDirectories, describeEnter, OomKillCounter } from '@ctr/cgroups';
import { AbortError, errnoNumber, SyscallError } from '@ctr/internal/errors';
import { type ContainerProcess, type EnterOptions, type EnterTemplate, enter, enterTemplate, type StartOptions } from '@ctr/namespaces';
import { readFileInRoot } from '@ctr/overlayfs';
import type { ExecSlots } from './exec-slots.js';
import { hintSource } from './hints.js';
import { applyProcessHook } from './oci/apply-hook.js';
import { compileExec } from './oci/compile-exec.js';
import { eitherSignal, hasListenerPath, type LoadedFilter, loadedFilter, startFiltered } from './oci/listener.js';
import { environment, toInherited, toProgramOptions } from './oci/to-spawn.js';
import type { OciProcess, OciSpec } from './oci/types.js';
import type { ExecRequest, KnownRequest } from './options/read-options.js';
import type { ExecSpec } from './options/run-schema.js';
import { RunningProcess } from './running-process.js';
import { sameData } from './same-data.js';
import { kindOf, OF_ONE_START, Recent } from './start-kind.js';
import { planStdio, type StdioPlan } from './stdio.js';
import { type ResolvedUser, resolveUser } from './user/resolve-user.js';

/** What exec() has to know of the container. */
export interface ExecTarget {
  readonly id: string;
  readonly name: string;
  readonly process: ContainerProcess;
  readonly oci: OciSpec;
  readonly directories: CgroupDirectories;
  /** Where processes wait for it, if any do. */
  readonly slots?: ExecSlots | undefined;
}

/** A request that may come again, and what is the same each time then. */
export interface KnownExec {
  readonly known: KnownRequest;
  again?: { readonly recipe: ExecRecipe; readonly start: StartOptions; readonly stdio: StdioPlan };
}

const MAX_USER_FILE = 2 ** 20;

/** Users as the running container has them; its root is read like an image's, as bytes of a stranger. */
async function userOf(target: ExecTarget, spec: ExecSpec): Promise<ResolvedUser | undefined> {
  if (spec.user === undefined) return undefined;
  return resolveUser(spec.user, (path) => readFileInRoot([`/proc/${target.process.pid}/root`], path, { maxBytes: MAX_USER_FILE }));
}

/** What is the same for programs that are run in one container one after the other: their rights, ids and streams. */
export interface ExecRecipe {
  readonly kind: Readonly<Record<string, unknown>>;
  readonly user: ResolvedUser | undefined;
  readonly template: EnterTemplate;
  /** Makes the processes that wait for it: the same for all that differ in their streams alone. */
  readonly parking: EnterTemplate;
  /** Of the last one. */
  command: readonly string[];
  env: ExecSpec['env'];
  args: readonly string[];
  variables: Readonly<Record<string, string>>;
}

const OF_ONE_PROGRAM: ReadonlySet<string> = new Set(OF_ONE_START);
const recipes = new WeakMap<ContainerProcess, Recent<ExecRecipe>>();

const affinity = ({ execCPUAffinity: cpus }: OciProcess) => ({
  ...(cpus?.initial ? { initialCpuAffinity: cpus.initial } : {}),
  ...(cpus?.final ? { cpuAffinity: cpus.final } : {}),
});

const filterOf = (target: ExecTarget): LoadedFilter => loadedFilter(target.oci, { id: target.id, pid: target.process.pid });

const enterOptions = (target: ExecTarget, process: OciProcess, stdio: StdioPlan, { filter }: LoadedFilter): EnterOptions => ({
  ...toProgramOptions(process, filter, stdio.stdio),
  ...toInherited(target.oci.linux),
  ...affinity(process),
  cgroup: { ...describeEnter(target.directories), collect: [], cleanup: [] },
  hints: hintSource({ root: 'the container', rootless: false }),
});

function recipeFor(
  target: ExecTarget,
  spec: ExecSpec,
  command: readonly string[],
  user: ResolvedUser | undefined,
  stdio: StdioPlan,
): ExecRecipe {
  const known = recipes.get(target.process) ?? new Recent<ExecRecipe>(8);
  recipes.set(target.process, known);
  const kind = kindOf(spec, OF_ONE_PROGRAM, stdio);
  const found = known.find((recipe) => recipe.user === user && sameData(recipe.kind, kind));
  if (found !== undefined) return found;
  const process = compileExec(target.oci.process, command, spec, user);
  const template = enterTemplate(target.process, enterOptions(target, process, stdio, filterOf(target)));
  const sibling = known.find((recipe) => recipe.user === user && sameData({ ...recipe.kind, streams: kind['streams'] }, kind));
  const parking = sibling?.parking ?? template;
  return known.add({ kind, user, template, parking, command: [], env: undefined, args: [], variables: {} });
}

/** The program, frozen, so that the launcher encodes it once when it is run again and again. */
function programOf(recipe: ExecRecipe, container: OciProcess, command: readonly string[], spec: ExecSpec): ExecRecipe {
  if (recipe.args.length > 0 && sameData(recipe.command, command) && sameData(recipe.env, spec.env)) return recipe;
  const process = compileExec(container, command, spec, recipe.user);
  recipe.command = command;
  recipe.env = spec.env;
  recipe.args = Object.freeze(process.args);
  recipe.variables = Object.freeze(environment(process.env));
  return recipe;
}

interface Entering {
  readonly entering: Promise<ContainerProcess>;
  readonly args: readonly string[];
  readonly stdio: StdioPlan;
}

/** A terminal is each program's own, and so are a listener for an agent and what a hook makes: there is nothing to keep for the next one. */
const isOnItsOwn = (target: ExecTarget, spec: ExecSpec): boolean =>
  Boolean(spec.tty) || spec.process !== undefined || hasListenerPath(target.oci.linux.seccomp);

function launchAlone(
  target: ExecTarget,
  { command, spec }: ExecRequest,
  user: ResolvedUser | undefined,
  stdio: StdioPlan,
  doing: string,
): Entering {
  const process = applyProcessHook(compileExec(target.oci.process, command, spec, user), spec.process);
  const loaded = filterOf(target);
  const options = { ...enterOptions(target, process, stdio, loaded), doing, signal: eitherSignal(spec.signal, loaded) };
  return { entering: startFiltered(loaded, () => enter(target.process, options)), args: process.args, stdio };
}

const doingOf = (target: ExecTarget, { command }: ExecRequest): string =>
  `run ${JSON.stringify(command[0])} in container ${JSON.stringify(target.name)}`;

/** In a process that waits for it, or in one that is made now. */
const enterBy = ({ slots }: ExecTarget, { template, parking }: ExecRecipe, start: StartOptions): Promise<ContainerProcess> =>
  slots === undefined ? template.enter(start) : slots.enter(parking, template, start);

/** Streams of which one start has nothing that the next one has not. */
const isPlain = ({ stdio }: StdioPlan): boolean => stdio.every((place) => place === 'pipe' || place === 'ignore');

async function launch(target: ExecTarget, request: ExecRequest, known: KnownExec | undefined): Promise<Entering> {
  const { command, spec } = request;
  const doing = doingOf(target, request);
  const user = await userOf(target, spec);
  const stdio = planStdio(spec);
  if (isOnItsOwn(target, spec)) return launchAlone(target, request, user, stdio, doing);
  const recipe = programOf(recipeFor(target, spec, command, user, stdio), target.oci.process, command, spec);
  const { args, variables } = recipe;
  const start = Object.freeze({ args, env: variables, stdio: Object.freeze(stdio.stdio), doing, signal: spec.signal });
  // The users of a running container may change from one time to the next.
  if (known !== undefined && spec.user === undefined && isPlain(stdio)) known.again = { recipe, start, stdio };
  return { entering: enterBy(target, recipe, start), args, stdio };
}

function launchAgain(target: ExecTarget, { recipe, start, stdio }: NonNullable<KnownExec['again']>): Entering {
  return { entering: enterBy(target, recipe, start), args: start.args, stdio };
}

const counters = new WeakMap<ContainerProcess, OomKillCounter>();

/** One for each container in which programs are run; its file is closed when the container has ended. */
function counterOf({ process, directories }: ExecTarget): OomKillCounter {
  let counter = counters.get(process);
  if (counter === undefined) {
    const made = new OomKillCounter(directories);
    counters.set(process, made);
    void process.exited.then(() => made.close());
    counter = made;
  }
  return counter;
}

/** `known` for a request that may come again. */
export async function startExec(target: ExecTarget, request: ExecRequest, known?: KnownExec): Promise<RunningProcess> {
  const { spec } = request;
  if (target.process.ended) {
    const doing = doingOf(target, request);
    throw new SyscallError({ errno: errnoNumber('ESRCH'), syscall: 'setns', doing }, { hint: 'the container has ended' });
  }
  if (spec.signal?.aborted) throw new AbortError(doingOf(target, request), spec.signal.reason);
  const { entering, args, stdio } = known?.again === undefined ? await launch(target, request, known) : launchAgain(target, known.again);
  // While the launcher works: the program has not begun, and would have to fill the container's memory first.
  const counter = counterOf(target);
  const before = counter.look();
  const process = await entering;
  // One more kill at the memory limit while it ran: it may have been this program.
  const wasOom = async (): Promise<boolean> => counter.count() > counter.count(before);
  return new RunningProcess({ process, command: args, spec, stdio, directories: {}, wasOom });
}
