// Starts a further program in a running container.
import { type CgroupDirectories, describeEnter, oomKills } from '@ctr/cgroups';
import { AbortError, errnoNumber, SyscallError } from '@ctr/internal/errors';
import { type ContainerProcess, type EnterOptions, type EnterTemplate, enter, enterTemplate } from '@ctr/namespaces';
import { readFileInRoot } from '@ctr/overlayfs';
import { hintSource } from './hints.js';
import { compileExec } from './oci/compile-exec.js';
import { eitherSignal, hasListenerPath, type LoadedFilter, loadedFilter, startFiltered } from './oci/listener.js';
import { environment, toInherited, toProgramOptions } from './oci/to-spawn.js';
import type { OciProcess, OciSpec } from './oci/types.js';
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
}

const MAX_USER_FILE = 2 ** 20;

/** Users as the running container has them; its root is read like an image's, as bytes of a stranger. */
async function userOf(target: ExecTarget, spec: ExecSpec): Promise<ResolvedUser | undefined> {
  if (spec.user === undefined) return undefined;
  return resolveUser(spec.user, (path) => readFileInRoot([`/proc/${target.process.pid}/root`], path, { maxBytes: MAX_USER_FILE }));
}

/** What is the same for programs that are run in one container one after the other: their rights, ids and streams. */
interface ExecRecipe {
  readonly kind: Readonly<Record<string, unknown>>;
  readonly user: ResolvedUser | undefined;
  readonly template: EnterTemplate;
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
  return known.add({ kind, user, template, command: [], env: undefined, args: [], variables: {} });
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

/** A terminal is each program's own, and so is a listener for an agent: there is nothing to keep for the next one. */
function launch(
  target: ExecTarget,
  spec: ExecSpec,
  command: readonly string[],
  user: ResolvedUser | undefined,
  stdio: StdioPlan,
  doing: string,
): { entering: Promise<ContainerProcess>; args: readonly string[] } {
  if (spec.tty || hasListenerPath(target.oci.linux.seccomp)) {
    const process = compileExec(target.oci.process, command, spec, user);
    const loaded = filterOf(target);
    const options = { ...enterOptions(target, process, stdio, loaded), doing, signal: eitherSignal(spec.signal, loaded) };
    return {
      entering: startFiltered(loaded, () => enter(target.process, options)),
      args: process.args,
    };
  }
  const { template, args, variables } = programOf(recipeFor(target, spec, command, user, stdio), target.oci.process, command, spec);
  return { entering: template.enter({ args, env: variables, stdio: stdio.stdio, doing, signal: spec.signal }), args };
}

export async function startExec(target: ExecTarget, command: readonly string[], spec: ExecSpec): Promise<RunningProcess> {
  const doing = `run ${JSON.stringify(command[0])} in container ${JSON.stringify(target.name)}`;
  if (target.process.ended) {
    throw new SyscallError({ errno: errnoNumber('ESRCH'), syscall: 'setns', doing }, { hint: 'the container has ended' });
  }
  if (spec.signal?.aborted) throw new AbortError(doing, spec.signal.reason);
  const user = await userOf(target, spec);
  const stdio = planStdio(spec);
  const { entering, args } = launch(target, spec, command, user, stdio, doing);
  // While the launcher works: the program has not begun, and would have to fill the container's memory first.
  const before = oomKills(target.directories);
  const process = await entering;
  // One more kill at the memory limit while it ran: it may have been this program.
  const wasOom = async (): Promise<boolean> => oomKills(target.directories) > before;
  return new RunningProcess({ process, command: args, spec, stdio, directories: {}, wasOom });
}
