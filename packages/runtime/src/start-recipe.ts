// What is the same for all containers of one kind is worked out once. A kind is a root, a user and all options that the
// plan depends on; a start then adds its id, its program and its streams.
import { randomUUID } from 'node:crypto';
import type { CgroupDirectories } from '@ctr/cgroups';
import { type SpawnTemplate, type Stdio, spawnTemplate } from '@ctr/namespaces';
import { effectiveArgs, effectiveEnv } from './oci/process.js';
import { environment } from './oci/to-spawn.js';
import type { OciSpec } from './oci/types.js';
import type { RunSpec } from './options/run-schema.js';
import { type ContainerInput, type ContainerPlan, planContainer } from './plan-container.js';
import { sameData } from './same-data.js';
import { isOfOneContainer, wantedIds } from './userns/container-ids.js';

export const newId = (): string => randomUUID().replaceAll('-', '');

/** Stands for the id of a container, whole or its first 12 digits. Random, so that no option can hold it. */
const PLACEHOLDER = newId();

const renamed = (text: string, id: string): string =>
  text.includes(PLACEHOLDER.slice(0, 12)) ? text.replaceAll(PLACEHOLDER, id).replaceAll(PLACEHOLDER.slice(0, 12), id.slice(0, 12)) : text;

/** Options that the plan does not depend on; what they decide is given to each start, or stands in the root and the user. */
const OF_ONE_START: ReadonlySet<string> = new Set(
  `command entrypoint env image name labels pull platform auth insecure onProgress store stdin stdout stderr input
   signal timeout killSignal maxBuffer encoding stopSignal stopTimeout`.split(/\s+/),
);
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

export class StartRecipe {
  readonly #input: ContainerInput;
  readonly #options: ReadonlyMap<string, unknown>;
  readonly #plan: ContainerPlan;
  readonly #template: SpawnTemplate;
  #program: Program;

  private constructor(input: ContainerInput) {
    this.#input = { ...input, id: PLACEHOLDER };
    this.#options = decisive(input.spec);
    this.#plan = planContainer(this.#input);
    this.#template = spawnTemplate(this.#plan.spawnOptions(new Map()), PLACEHOLDER);
    this.#program = this.#makeProgram(input.spec);
  }

  /** Undefined for what is one of its kind: with a hook that may do anything, with descriptors, or with a terminal. */
  static make(input: ContainerInput): StartRecipe | undefined {
    const { spec, session, user } = input;
    if (isOfOneContainer(wantedIds(spec, session.host, user), session.host)) return undefined;
    const joins = [...(spec.namespaces?.values() ?? [])].some((place) => place !== 'new' && place !== 'host');
    const byDescriptor = (spec.mounts ?? []).some((m) => 'source' in m && typeof m.source === 'object');
    return spec.spec !== undefined || joins || byDescriptor || spec.tty ? undefined : new StartRecipe(input);
  }

  matches(input: ContainerInput): boolean {
    const { root, user, session, stdio } = this.#input;
    if (input.root !== root || input.user !== user || input.session !== session) return false;
    if (input.stdio.stdio.some((place, n) => kindOf(place) !== kindOf(stdio.stdio[n]))) return false;
    const options = decisive(input.spec);
    if (options.size !== this.#options.size) return false;
    for (const [key, value] of options) {
      const ours = this.#options.get(key);
      if (value !== ours && !sameData(value, ours)) return false;
    }
    return true;
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
    return { process, compiled: compiledFor(this.#plan, program, id, spec) };
  }
}

/** Streams of one kind need the same steps. */
const kindOf = (place: Stdio | undefined): string | undefined => (place === 'pipe' || place === 'ignore' ? place : 'descriptor');

const decisive = (spec: RunSpec): Map<string, unknown> => new Map(Object.entries(spec).filter(([key]) => !OF_ONE_START.has(key)));

/** Made when somebody asks. */
function compiledFor(plan: ContainerPlan, program: Program, id: string, spec: RunSpec): Compiled {
  let oci: OciSpec | undefined;
  let directories: CgroupDirectories | undefined;
  return {
    command: program.args,
    get oci() {
      oci ??= ociOf(plan.oci, program, id, spec);
      return oci;
    },
    get directories() {
      directories ??= Object.fromEntries(Object.entries(plan.cgroup.directories).map(([key, path]) => [key, renamed(path, id)]));
      return directories;
    },
  };
}

function ociOf(template: OciSpec, program: Program, id: string, spec: RunSpec): OciSpec {
  const { hostname, linux, process } = template;
  return {
    ...template,
    process: { ...process, args: [...program.args], env: program.variables.map((entry) => renamed(entry, id)) },
    ...(hostname === undefined ? {} : { hostname: renamed(hostname, id) }),
    annotations: Object.fromEntries(spec.labels ?? []),
    linux: { ...linux, ...(linux.cgroupsPath === undefined ? {} : { cgroupsPath: renamed(linux.cgroupsPath, id) }) },
  };
}

const MOST = 32;
const recent: StartRecipe[] = [];

/** The recipe for this input: one of the last, or a new one; undefined where there can be none. */
export function recipeFor(input: ContainerInput): { readonly recipe: StartRecipe | undefined; readonly isNew: boolean } {
  const known = recent.find((recipe) => recipe.matches(input));
  if (known !== undefined) return { recipe: known, isNew: false };
  const recipe = StartRecipe.make(input);
  if (recipe !== undefined) {
    if (recent.length >= MOST) recent.pop();
    recent.unshift(recipe);
  }
  return { recipe, isNew: true };
}
