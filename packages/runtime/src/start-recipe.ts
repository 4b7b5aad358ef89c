// What is the same for all containers of one kind is worked out once. A kind is a root, a user and all options that the
// plan depends on; a start then adds its id, its program and its streams.
import { randomUUID } from 'node:crypto';
import type { CgroupDirectories } from '@ctr/cgroups';
import { type SpawnTemplate, spawnTemplate } from '@ctr/namespaces';
import { hasListenerPath } from './oci/listener.js';
import { effectiveArgs, effectiveEnv } from './oci/process.js';
import { environment } from './oci/to-spawn.js';
import type { OciSpec } from './oci/types.js';
import { PULL_NAMES } from './options/pull-schema.js';
import type { RunSpec } from './options/run-schema.js';
import { type ContainerInput, type ContainerPlan, planContainer } from './plan-container.js';
import { sameData } from './same-data.js';
import { kindOf, OF_ONE_START, Recent } from './start-kind.js';
import { isOfOneContainer, wantedIds } from './userns/container-ids.js';

export const newId = (): string => randomUUID().replaceAll('-', '');

/** Stands for the id of a container, whole or its first 12 digits. Random, so that no option can hold it. */
const PLACEHOLDER = newId();

/** What else a container has of its own: given to each start, or standing in the root and the user. */
const OF_ONE_CONTAINER: ReadonlySet<string> = new Set([
  ...OF_ONE_START,
  ...'command entrypoint image name labels pull platform onProgress store stopSignal stopTimeout execSlots'.split(' '),
  ...PULL_NAMES,
]);
const OF_THE_PROGRAM = ['command', 'entrypoint', 'env'] as const;

/** The program of a start; frozen, so that the launcher encodes it once. */
interface Program {
  readonly from: readonly unknown[];
  readonly args: readonly string[];
  readonly variables: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** A container as far as its plan tells. */
export interface Compiled {
  readonly command: readonly string[];
  readonly oci: OciSpec;
  readonly directories: CgroupDirectories;
}

/** A range that is used again has the same maps, and the same mounts of a layer. */
const sameIds = (a: ContainerInput['ids'], b: ContainerInput['ids']): boolean =>
  a?.mounts === b?.mounts && sameData(a?.idMaps, b?.idMaps) && sameData(a?.layers, b?.layers);

export class StartRecipe {
  readonly #input: ContainerInput;
  readonly #kind: Readonly<Record<string, unknown>>;
  readonly #plan: ContainerPlan;
  readonly #template: SpawnTemplate;
  #program: Program;

  private constructor(input: ContainerInput, kind: Readonly<Record<string, unknown>>) {
    this.#input = { ...input, id: PLACEHOLDER };
    this.#kind = kind;
    this.#plan = planContainer(this.#input);
    this.#template = spawnTemplate(this.#plan.spawnOptions(new Map()), PLACEHOLDER);
    this.#program = this.#makeProgram(input.spec);
  }

  /** Undefined for what is one of its kind: with a hook that may do anything, with descriptors, a terminal, or a listener for an agent. */
  static make(input: ContainerInput, kind: Readonly<Record<string, unknown>>): StartRecipe | undefined {
    const { spec, session, user } = input;
    if (input.sized !== undefined || isOfOneContainer(wantedIds(spec, session.host, user), session.host)) return undefined;
    const joins = [...(spec.namespaces?.values() ?? [])].some((place) => place !== 'new' && place !== 'host');
    // The number of a device may be another the next time.
    return spec.spec !== undefined || spec.devices !== undefined || joins || spec.tty || hasListenerPath(spec.seccomp)
      ? undefined
      : new StartRecipe(input, kind);
  }

  matches(input: ContainerInput, kind: Readonly<Record<string, unknown>>): boolean {
    const { root, user, session } = this.#input;
    const same = input.root === root && input.user === user && input.session === session && sameIds(input.ids, this.#input.ids);
    return same && sameData(kind, this.#kind);
  }

  #makeProgram(spec: RunSpec): Program {
    const { root, user } = this.#input;
    const args = Object.freeze(effectiveArgs(spec, root.image));
    const variables = effectiveEnv(spec.env, root.image, this.#plan.oci.hostname, user.home);
    return { from: OF_THE_PROGRAM.map((key) => spec[key]), args, variables, env: Object.freeze(environment(variables)) };
  }

  #programOf(spec: RunSpec): Program {
    if (!this.#program.from.every((value, i) => sameData(value, spec[OF_THE_PROGRAM[i] as 'env']))) {
      this.#program = this.#makeProgram(spec);
    }
    return this.#program;
  }

  /** Starts the container of this input, which matches. */
  start(input: ContainerInput): { process: ReturnType<SpawnTemplate['spawn']>; compiled: Compiled } {
    const { id, spec, stdio } = input;
    const program = this.#programOf(spec);
    const doing = `start container ${JSON.stringify(spec.name ?? id.slice(0, 12))}`;
    const process = this.#template.spawn({
      name: id,
      args: program.args,
      env: program.env,
      stdio: stdio.stdio,
      doing,
      signal: spec.signal,
    });
    return { process, compiled: compiledFor(this.#plan, program, spec, (text) => this.#template.rename(text, id)) };
  }
}

/** Made when somebody asks. */
function compiledFor(plan: ContainerPlan, program: Program, spec: RunSpec, rename: (text: string) => string): Compiled {
  let oci: OciSpec | undefined;
  let directories: CgroupDirectories | undefined;
  return {
    command: program.args,
    get oci() {
      oci ??= ociOf(plan.oci, program, spec, rename);
      return oci;
    },
    get directories() {
      directories ??= Object.fromEntries(Object.entries(plan.cgroup.directories).map(([key, path]) => [key, rename(path)]));
      return directories;
    },
  };
}

function ociOf(template: OciSpec, program: Program, spec: RunSpec, rename: (text: string) => string): OciSpec {
  const { hostname, linux, process } = template;
  return {
    ...template,
    process: { ...process, args: [...program.args], env: program.variables.map(rename) },
    ...(hostname === undefined ? {} : { hostname: rename(hostname) }),
    annotations: Object.fromEntries(spec.labels ?? []),
    linux: { ...linux, ...(linux.cgroupsPath === undefined ? {} : { cgroupsPath: rename(linux.cgroupsPath) }) },
  };
}

const recent = new Recent<StartRecipe>(32);

/** The recipe for this input: one of the last, or a new one; undefined where there can be none. */
export function recipeFor(input: ContainerInput): { readonly recipe: StartRecipe | undefined; readonly isNew: boolean } {
  const kind = kindOf(input.spec, OF_ONE_CONTAINER, input.stdio);
  const known = recent.find((recipe) => recipe.matches(input, kind));
  if (known !== undefined) return { recipe: known, isNew: false };
  const recipe = StartRecipe.make(input, kind);
  return { recipe: recipe && recent.add(recipe), isNew: true };
}
