// spawnTemplate(): options checked, compiled and encoded once, for programs that start the same kind of thing again and again.
import { assertLinux, InvalidArgumentError } from '@ctr/internal/errors';
import { NAMESPACE_KINDS, type NamespaceKind } from '../plan/clone-flags.js';
import type { Plan, StepGroup } from '../plan/plan.js';
import { PlanTemplate } from '../plan/plan-template.js';
import { renameText, SHORT_NAME } from '../plan/rename.js';
import type { ContainerProcess } from '../process.js';
import { needsPlace } from '../userns/user-namespace.js';
import { checkProgramOptions, checkSpawnOptions } from './check-options.js';
import { describeSpawn } from './compile-spawn.js';
import { executeSource } from './execute-plan.js';
import { defaultHints } from './hints.js';
import { downgrade } from './legacy/downgrade.js';
import { learnFrom } from './legacy/missing.js';
import type { ProgramOptions, SpawnOptions } from './options.js';
import { execute, stdioFds } from './program-steps.js';

/** What each start from a template has of its own. */
export interface StartOptions {
  /** Program and arguments. The same frozen array and the same frozen `env` as in the last start cost nothing. */
  args: readonly string[];
  /** Environment; default: empty. */
  env?: NonNullable<ProgramOptions['env']>;
  /** Of the same kinds as the template's: a pipe where that has one, a descriptor where that has one. Default: the template's. */
  stdio?: NonNullable<ProgramOptions['stdio']>;
  /** For error messages: 'start container "web"'. Default: the template's. */
  doing?: string;
  /** Gives the start up when it fires; see {@link ProgramOptions.signal}. */
  signal?: AbortSignal | undefined;
}

/** What one start of a {@link SpawnTemplate} has of its own. */
export interface TemplateStartOptions extends StartOptions {
  /** Stands where the options had the placeholder: as many characters, ASCII without NUL. */
  name: string;
}

const STDIO_SLOTS = ['stdin', 'stdout', 'stderr'];
const ASCII = /^[\x01-\x7f]*$/;

/** What is made or read back for each start apart cannot be of a template. */
function refuseWhatIsOfOneStart(options: ProgramOptions): void {
  for (const key of ['tty', 'fds', 'apparmorProfile', 'selinuxLabel', 'notifySocket'] as const)
    if (options[key]) throw new InvalidArgumentError(key, 'left out of a template: use spawn() or enter()', options[key]);
}

/** What spawn and enter templates have in common: a plan without its program, and the last program. */
export class StartTemplate {
  readonly #template: PlanTemplate;
  readonly #options: ProgramOptions & { init?: boolean };
  readonly #namespaces: readonly NamespaceKind[];
  readonly #slots: string;
  #program: { readonly args: readonly string[]; readonly env: ProgramOptions['env']; readonly steps: StepGroup } | undefined;

  /** The last group of the plan's setup stage is the program. */
  constructor(options: ProgramOptions & { init?: boolean }, plan: Plan, namespaces: readonly NamespaceKind[], placeholder: string) {
    refuseWhatIsOfOneStart(options);
    const { setup } = plan.stages;
    this.#template = new PlanTemplate({ ...plan, stages: { ...plan.stages, setup: setup.slice(0, -1) } }, placeholder);
    this.#options = options;
    this.#namespaces = namespaces;
    this.#slots = STDIO_SLOTS.filter((slot) => slot in plan.fds).join();
  }

  /** `open` makes further descriptors, by slot; they are closed here once they are sent. */
  start(name: string, start: StartOptions, open: () => Readonly<Record<string, number>> = () => ({})): Promise<ContainerProcess> {
    const { doing = this.#options.doing ?? `start ${start.args[0]}` } = start;
    const stdio = stdioFds({ args: start.args, stdio: start.stdio ?? this.#options.stdio ?? ['ignore', 'pipe', 'pipe'] });
    const used = STDIO_SLOTS.filter((slot) => stdio.slots.includes(slot));
    if (used.join() !== this.#slots)
      throw new InvalidArgumentError('stdio', `streams for ${this.#slots}, as the template has`, start.stdio);
    const program = this.#programOf(start);
    const own = open();
    return executeSource({
      fds: { ...own, ...stdio.borrowed },
      pipes: stdio.pipes.map((n) => STDIO_SLOTS[n] as string),
      own: Object.values(own),
      source: (fds) => this.#template.start({ doing, name, program, fds }),
      namespaces: this.#namespaces,
      hints: this.#options.hints ?? defaultHints,
      signal: start.signal,
    });
  }

  #programOf({ args, env }: StartOptions): StepGroup {
    const known = this.#program;
    if (known !== undefined && known.args === args && known.env === env) return known.steps;
    const options = { args, ...(env === undefined ? {} : { env }) };
    checkProgramOptions(options);
    const steps = execute({ ...options, ...(this.#options.init ? { init: true } : {}) });
    if (Object.isFrozen(args) && (env === undefined || Object.isFrozen(env))) this.#program = { args, env, steps };
    return steps;
  }
}

/** Made by {@link spawnTemplate}. */
export class SpawnTemplate {
  readonly #make: () => StartTemplate;
  readonly #placeholder: string;
  #template: StartTemplate;

  /** @internal */
  constructor(make: () => StartTemplate, placeholder: string) {
    this.#make = make;
    this.#template = make();
    this.#placeholder = placeholder;
  }

  /** A text of the options as the start of this name has it: with the name where the placeholder stands. */
  rename(text: string, name: string): string {
    return renameText(text, this.#placeholder, name);
  }

  /**
   * Starts one: see spawn().
   *
   * @throws what spawn() throws.
   */
  async spawn(start: TemplateStartOptions): Promise<ContainerProcess> {
    const { name } = start;
    if (typeof name !== 'string' || name.length !== this.#placeholder.length || !ASCII.test(name))
      throw new InvalidArgumentError('name', `${this.#placeholder.length} ASCII characters, as the placeholder has`, name);
    return this.#template.start(name, start).catch((error) => {
      if (!learnFrom(error)) throw error;
      this.#template = this.#make();
      return this.spawn(start);
    });
  }
}

/**
 * Checks, compiles and encodes options once. Each start then gives its name, its program and its streams.
 *
 * @param options As for spawn(); `args`, `env` and `stdio` are those of a first example. Descriptors may only be in `stdio`.
 * @param placeholder An unguessable ASCII text of at least 12 characters; wherever it stands in the options, in paths of
 * steps too, alone or as its first 12 characters, there the name of a start will be.
 * @throws InvalidArgumentError CTR_INVALID_ARGUMENT; UnsupportedError CTR_UNSUPPORTED on other systems than Linux.
 * @example
 * ```ts
 * const id = () => randomBytes(16).toString('hex')
 * const placeholder = id()
 * const template = spawnTemplate({ args: ['hostname'], hostname: placeholder, namespaces: { uts: 'new', pid: 'new' } }, placeholder)
 * const a = await template.spawn({ name: id(), args: ['hostname'], env: { PATH: '/bin' } })
 * ```
 */
export function spawnTemplate(options: SpawnOptions, placeholder: string): SpawnTemplate {
  checkSpawnOptions(options);
  assertLinux('spawnTemplate()');
  if (typeof placeholder !== 'string' || placeholder.length < SHORT_NAME || !ASCII.test(placeholder))
    throw new InvalidArgumentError('placeholder', `at least ${SHORT_NAME} ASCII characters`, placeholder);
  if (needsPlace(options))
    throw new InvalidArgumentError('options', 'without disableUserNamespaces, and without ranges of an ordinary user', options.idMaps);
  const own = NAMESPACE_KINDS.filter((kind) => (options.namespaces?.[kind] ?? 'host') !== 'host');
  const make = (): StartTemplate => {
    const plan = describeSpawn(options);
    const other = Object.keys(plan.fds).find((slot) => !STDIO_SLOTS.includes(slot));
    if (other !== undefined) throw new InvalidArgumentError('options', 'no descriptors but those of stdio', other);
    return new StartTemplate(options, downgrade(plan), own, placeholder);
  };
  return new SpawnTemplate(make, placeholder);
}
