// Arguments of runContainer() and exec() -> checked snapshots.
import { CtrError, InvalidArgumentError } from '@ctr/internal/errors';
import { checkRules, checkStreamRules } from './rules.js';
import type { ExecOptions, RunOptions } from './run-options.js';
import { command as commandSchema, type ExecSpec, execSchema, type RunSpec, runSchema } from './run-schema.js';
import { list, reject } from './schema.js';

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

export function readExecOptions(command: readonly string[], options: ExecOptions = {}): { command: readonly string[]; spec: ExecSpec } {
  return reading(() => {
    const args = execCommand.read(command, 'command');
    if (args[0] === '') reject('command[0]', 'the name of a program', args[0]);
    const spec = execSchema.read(options, '');
    checkStreamRules(spec);
    return { command: args, spec };
  });
}
