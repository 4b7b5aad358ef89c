// spawnTemplate(): options checked, compiled and encoded once, for programs that start the same kind of thing again and again.
import { assertLinux, InvalidArgumentError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { Launcher } from '../launcher/launcher.js';
import { isJoined } from '../namespaces/join.js';
import { NAMESPACE_KINDS, type NamespaceKind } from '../plan/clone-flags.js';
import type { Plan, StepGroup } from '../plan/plan.js';
import { PlanTemplate } from '../plan/plan-template.js';
import { renameText, SHORT_NAME } from '../plan/rename.js';
import type { ContainerProcess } from '../process.js';
import { listenerOf, type SeccompFilter } from '../seccomp/load.js';
import { LISTENER_SLOT } from '../steps/identity.js';
import { TTY_SOCKET } from '../steps/terminal.js';
import { sizeOf } from '../terminal/size.js';
import { needsPlace, type Place, placeAround } from '../userns/user-namespace.js';
import { extraFds, labelOf } from './attribute-steps.js';
import { checkAttributes } from './check-attributes.js';
import { checkProgramOptions, checkSpawnOptions } from './check-options.js';
import { describeSpawn } from './compile-spawn.js';
import { executeSource } from './execute-plan.js';
import { defaultHints } from './hints.js';
import { downgrade } from './legacy/downgrade.js';
import { learnFrom } from './legacy/missing.js';
import { withNotifySocket } from './notify.js';
import type { ProgramOptions, SpawnOptions } from './options.js';
import { execute, stdioFds } from './program-steps.js';
import { launchReady, type ReadyStart, readyStart } from './ready-start.js';
import { verifyLabel } from './verify-label.js';

/** What each start from a template has of its own. */
export interface StartOptions {
  /** Program and arguments. The same frozen array and the same frozen `env` as in the last start cost nothing. */
  args: readonly string[];
  /** Environment; default: empty. */
  env?: NonNullable<ProgramOptions['env']>;
  /** Of the same kinds as the template's: a pipe where that has one, a descriptor where that has one. Default: the template's. */
  stdio?: NonNullable<ProgramOptions['stdio']>;
  /** Further descriptors, under the numbers that the template has; borrowed until the start. Default: the template's, which must be open then. */
  fds?: NonNullable<ProgramOptions['fds']>;
  /** Takes the listener of this start, where the template's filter has one. Default: the template's `seccomp.onListener`. */
  onListener?: NonNullable<SeccompFilter['onListener']>;
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

/** What a start makes or borrows anew; other descriptors would have to stay open as long as the template. */
const ofEachStart = (slot: string): boolean =>
  STDIO_SLOTS.includes(slot) || slot === LISTENER_SLOT || slot === TTY_SOCKET || /^fd\.\d+$/.test(slot);

/** @throws InvalidArgumentError for one that was closed: its number may be another's by now. */
function numbersOf(kept: Readonly<Record<string, Fd>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(kept).map(([slot, fd]) => {
      if (fd.closed) throw new InvalidArgumentError('options', 'descriptors that stay open as long as the template is used', slot);
      return [slot, fd.fd];
    }),
  );
}

const joinsOnce = (what: string): InvalidArgumentError =>
  new InvalidArgumentError('options', 'without namespaces to join, which are opened for one start: use spawn()', what);

/** The descriptors of a plan that stay open: of mounts, and of the user namespace around; those of anything else are of one start. */
function keptFds(plan: Plan, mounts: SpawnOptions['mounts'], around: Fd | undefined): Record<string, Fd> {
  const known = [around, ...(mounts ?? []).flatMap((m) => (m.type === 'bind' ? [m.source, m.idMap] : []))].filter((v): v is Fd => Fd.is(v));
  const others = Object.entries(plan.fds).filter(([slot]) => !ofEachStart(slot));
  return Object.fromEntries(
    others.map(([slot, number]) => {
      const fd = known.find((k) => k.fd === number);
      if (fd === undefined) throw joinsOnce(slot);
      return [slot, fd];
    }),
  );
}

/** What the program of each start gets beside its own. */
interface OfEveryStart {
  readonly variables?: ProgramOptions['env'];
  /** Descriptors, by slot. */
  readonly kept?: Readonly<Record<string, Fd>>;
}

/** What spawn and enter templates have in common: a plan without its program, and the last program. */
export class StartTemplate {
  readonly #template: PlanTemplate;
  readonly #options: ProgramOptions & { init?: boolean };
  readonly #namespaces: readonly NamespaceKind[];
  readonly #slots: string;
  readonly #kept: Readonly<Record<string, Fd>>;
  /** What every program's environment gets beside its own. */
  readonly #variables: ProgramOptions['env'];
  readonly #placeholder: string;
  /** The options of starts by again(), and what was made of them once they came twice; null: it cannot be. */
  readonly #seen = new WeakSet<StartOptions>();
  readonly #ready = new WeakMap<StartOptions, ReadyStart | null>();
  #program: { readonly args: readonly string[]; readonly env: ProgramOptions['env']; readonly steps: StepGroup } | undefined;

  /** The last group of the plan's setup stage is the program. */
  constructor(
    options: ProgramOptions & { init?: boolean },
    plan: Plan,
    namespaces: readonly NamespaceKind[],
    placeholder: string,
    { variables, kept = {} }: OfEveryStart = {},
  ) {
    const { setup } = plan.stages;
    this.#template = new PlanTemplate({ ...plan, stages: { ...plan.stages, setup: setup.slice(0, -1) } }, placeholder);
    this.#placeholder = placeholder;
    this.#options = options;
    this.#namespaces = namespaces;
    this.#variables = variables;
    this.#kept = kept;
    this.#slots = STDIO_SLOTS.filter((slot) => slot in plan.fds).join();
  }

  /** `open` makes further descriptors, by slot; they are closed here once they are sent. */
  start(name: string, start: StartOptions, open: () => Readonly<Record<string, number>> = () => ({})): Promise<ContainerProcess> {
    const { doing = this.#options.doing ?? `start ${start.args[0]}` } = start;
    const stdio = this.#streamsOf(start);
    const extra = this.#fdsOf(start);
    const onListener = this.#listenerOf(start);
    const program = this.#programOf(start);
    const own = open();
    const size = sizeOf(this.#options.tty);
    const started = executeSource({
      fds: { ...numbersOf(this.#kept), ...own, ...stdio.borrowed, ...extra },
      pipes: [...stdio.pipes.map((n) => STDIO_SLOTS[n] as string), ...(size === undefined ? [] : [TTY_SOCKET])],
      own: Object.values(own),
      source: (fds) => this.#template.start({ doing, name, program, fds }),
      namespaces: this.#namespaces,
      hints: this.#options.hints ?? defaultHints,
      size,
      signal: start.signal,
      onListener,
    });
    return labelOf(this.#options) ? started.then((process) => verifyLabel(process, this.#options)) : started;
  }

  /**
   * The same for the very same frozen options as an earlier time. `lent` are open for as long as this call takes. Undefined where that is
   * not so, or the message cannot be sent at once: then nothing was done.
   */
  again(start: StartOptions, lent: Readonly<Record<string, number>>): Promise<ContainerProcess> | undefined {
    let ready = this.#ready.get(start);
    if (ready === undefined && !this.#seen.has(start)) {
      // Of what comes but once nothing is kept.
      this.#seen.add(start);
      return undefined;
    }
    if (ready === undefined) {
      ready = this.#readyFor(start, Object.keys(lent)) ?? null;
      this.#ready.set(start, ready);
    }
    return ready ? launchReady(ready, lent, Launcher.current, this.#namespaces, this.#options.hints ?? defaultHints) : undefined;
  }

  /** Only where each start is like the other: without a listener, a terminal, a label to look at, or descriptors of the caller's. */
  #readyFor(start: StartOptions, lent: readonly string[]): ReadyStart | undefined {
    const { doing = this.#options.doing ?? `start ${start.args[0]}`, signal, fds, stdio: streams } = start;
    const { tty, seccomp, fds: others } = this.#options;
    const ownEach = tty || listenerOf(seccomp) || labelOf(this.#options) || others || fds || signal || Object.keys(this.#kept).length > 0;
    const frozen = [start, start.args, start.env, streams].every((part) => part === undefined || Object.isFrozen(part));
    if (ownEach || !frozen || this.#placeholder !== '') return undefined;
    const { pipes, borrowed } = this.#streamsOf(start);
    if (Object.keys(borrowed).length > 0) return undefined;
    const program = this.#programOf(start);
    const names = pipes.map((n) => STDIO_SLOTS[n] as string);
    return readyStart(names, lent, (numbers) => this.#template.start({ doing, name: '', program, fds: numbers }));
  }

  #streamsOf(start: StartOptions): ReturnType<typeof stdioFds> {
    const { tty } = this.#options;
    if (tty && start.stdio !== undefined) throw new InvalidArgumentError('stdio', 'left out: the terminal takes its place', start.stdio);
    const stdio = stdioFds({
      args: start.args,
      ...(tty ? { tty } : { stdio: start.stdio ?? this.#options.stdio ?? ['ignore', 'pipe', 'pipe'] }),
    });
    const used = STDIO_SLOTS.filter((slot) => stdio.slots.includes(slot));
    if (used.join() !== this.#slots)
      throw new InvalidArgumentError('stdio', `streams for ${this.#slots}, as the template has`, start.stdio);
    return stdio;
  }

  #fdsOf(start: StartOptions): Record<string, number> {
    const fds = start.fds ?? this.#options.fds ?? {};
    const numbers = Object.keys(this.#options.fds ?? {});
    if (start.fds !== undefined && Object.keys(fds).join() !== numbers.join())
      throw new InvalidArgumentError('fds', `descriptors under the numbers ${numbers.join()}, as the template has`, start.fds);
    checkAttributes({ fds });
    return extraFds({ fds });
  }

  #listenerOf(start: StartOptions): SeccompFilter['onListener'] {
    const known = listenerOf(this.#options.seccomp);
    if (start.onListener === undefined) return known;
    if (typeof start.onListener !== 'function')
      throw new InvalidArgumentError('onListener', 'a function that takes an Fd', start.onListener);
    if (known === undefined) throw new InvalidArgumentError('onListener', 'left out: the template has no listener', start.onListener);
    return start.onListener;
  }

  #programOf({ args, env }: StartOptions): StepGroup {
    const known = this.#program;
    if (known !== undefined && known.args === args && known.env === env) return known.steps;
    const options = { args, ...(env === undefined && this.#variables === undefined ? {} : { env: { ...env, ...this.#variables } }) };
    checkProgramOptions(options);
    const { init, fds, argv0 } = this.#options;
    const own = { ...(init ? { init } : {}), ...(fds === undefined ? {} : { fds }), ...(argv0 === undefined ? {} : { argv0 }) };
    const steps = execute({ ...options, ...own });
    if (Object.isFrozen(args) && (env === undefined || Object.isFrozen(env))) this.#program = { args, env, steps };
    return steps;
  }
}

/** Compiles the options; with the user namespace around the new one, where there is one. */
type Make = (place: Place | undefined) => StartTemplate;

/** Made by {@link spawnTemplate}. */
export class SpawnTemplate {
  readonly #make: Make;
  readonly #placeholder: string;
  readonly #place: (() => Promise<Place>) | undefined;
  /** Undefined until the first start has found out where the user namespaces are made. */
  #template: StartTemplate | undefined;

  /** @internal */
  constructor(make: Make, placeholder: string, place: (() => Promise<Place>) | undefined) {
    this.#make = make;
    this.#placeholder = placeholder;
    this.#place = place;
    this.#template = place === undefined ? make(undefined) : undefined;
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
    const template = this.#template ?? (await this.#compile());
    return template.start(name, start).catch((error) => {
      if (!learnFrom(error)) throw error;
      this.#template = undefined;
      return this.spawn(start);
    });
  }

  async #compile(): Promise<StartTemplate> {
    const place = await this.#place?.();
    // Another start may have been faster.
    this.#template ??= this.#make(place);
    return this.#template;
  }
}

/**
 * Checks, compiles and encodes options once. Each start then gives its name, its program and its streams.
 *
 * @param options As for spawn(); `args`, `env`, `stdio` and `fds` are those of a first example. Namespaces cannot be joined: they are opened
 * for one start. Descriptors in `mounts` stay open as long as the template is used.
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
  if (options.disableUserNamespaces)
    throw new InvalidArgumentError('options', 'without disableUserNamespaces, for which a user namespace is made for one start', true);
  const joined = NAMESPACE_KINDS.find((kind) => isJoined(options.namespaces?.[kind]));
  if (joined !== undefined) throw joinsOnce(`ns.${joined}`);
  const own = NAMESPACE_KINDS.filter((kind) => (options.namespaces?.[kind] ?? 'host') !== 'host');
  const make: Make = (place) => {
    const complete = withNotifySocket(options);
    const plan = describeSpawn(complete, undefined, { around: place && { ...place, fd: place.around.fd } });
    const variables = complete === options ? undefined : { NOTIFY_SOCKET: complete.env?.['NOTIFY_SOCKET'] as string };
    const kept = keptFds(plan, options.mounts, place?.around);
    return new StartTemplate(options, downgrade(plan), own, placeholder, { variables, kept });
  };
  return new SpawnTemplate(make, placeholder, needsPlace(options) ? () => placeAround(options.idMaps, false) : undefined);
}
