// Arguments of runContainer() and exec() -> checked snapshots.
import { CtrError, InvalidArgumentError } from '@ctr/internal/errors';
import { checkRules, checkStreamRules } from './rules.js';
import type { ExecOptions, RunOptions } from './run-options.js';
import { command as commandSchema, type ExecSpec, execSchema, type RunSpec, runSchema } from './run-schema.js';
import { isPlainObject, list, reject } from './schema.js';

/** A Proxy or getter of the caller may throw anything: it becomes an error that says where it came from. */
function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof CtrError) throw error;
    throw new InvalidArgumentError('options', 'an object that can be read', undefined, { cause: error });
  }
}

/**
 * Reads `(options)` or `(image, command?, options?)`.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT with path, expected and received.
 */
export function readRunOptions(first: string | RunOptions, command?: readonly string[], options?: RunOptions): RunSpec {
  return reading(() => {
    const spec = typeof first === 'string' ? readShortForm(first, command, options) : runSchema.read(first, '');
    checkRules(spec);
    return spec;
  });
}

function readShortForm(image: string, command: unknown, options: unknown): RunSpec {
  const spec = options === undefined ? {} : runSchema.read(options, '');
  for (const key of ['image', 'command'] as const) {
    if (spec[key] !== undefined && (key === 'image' || command !== undefined))
      reject(key, 'given once: as an argument or as an option', spec[key]);
  }
  const first = runSchema.read({ image, command }, '');
  return Object.freeze({ ...spec, ...first });
}

/** The arguments of exec(): at least the program's name. */
const execCommand = list('an array of texts with a program first', commandSchema.item, 65_536, 1);

/** What exec() was given, read. */
export interface ExecRequest {
  readonly command: readonly string[];
  readonly spec: ExecSpec;
}

export function readExecOptions(command: readonly string[], options: ExecOptions = {}): ExecRequest {
  return reading(() => {
    const args = execCommand.read(command, 'command');
    if (args[0] === '') reject('command[0]', 'the name of a program', args[0]);
    const spec = execSchema.read(options, '');
    checkStreamRules(spec);
    return { command: args, spec };
  });
}

/** A request, and the options as they were given; only those that are plain words and numbers all through can be told again. */
export interface KnownRequest {
  readonly request: ExecRequest;
  readonly given: ReadonlyMap<string, unknown>;
}

const isWord = (value: unknown): boolean => typeof value !== 'object' && typeof value !== 'function';

/** What to know a request by when it comes again; undefined when it has live parts. Call it with what readExecOptions() took. */
export function knowRequest(request: ExecRequest, options: ExecOptions = {}): KnownRequest | undefined {
  const given = new Map(Object.entries(reading(() => ({ ...options }))));
  const spec = request.spec as Readonly<Record<string, unknown>>;
  // As read by the schema: a getter, or an option that it turned into something else, is not known.
  for (const [key, value] of given) if (!isWord(value) || !Object.is(spec[key], value)) return undefined;
  Object.freeze(request.command);
  return { request, given };
}

/** Whether these arguments are those of the known request: then they need not be checked again. Reads each value once. */
export function isKnown({ request, given }: KnownRequest, command: readonly string[], options: ExecOptions = {}): boolean {
  return reading(() => {
    if (!Array.isArray(command) || command.length !== request.command.length) return false;
    for (let i = 0; i < request.command.length; i++) if (command[i] !== request.command[i]) return false;
    if (!isPlainObject(options)) return false;
    const keys = Object.keys(options);
    if (keys.length !== given.size) return false;
    for (const key of keys) if (!given.has(key) || !Object.is((options as Record<string, unknown>)[key], given.get(key))) return false;
    return true;
  });
}
