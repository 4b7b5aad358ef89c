// The caller's `spec` hook, of a container or of a further program: it gets the generated object, changes it or returns another, and what comes out is
// checked.
import { CtrError, InvalidArgumentError } from '@ctr/internal/errors';
import { ociSchema, processSchema } from './oci-schema.js';
import type { OciProcess, OciSpec } from './types.js';

function changed<T>(name: string, made: T, hook: (made: T) => T | undefined): unknown {
  let result: unknown;
  try {
    // A copy: parts of the object, such as the default filter, are shared by all containers.
    const own = structuredClone(made);
    result = hook(own) ?? own;
  } catch (error) {
    if (error instanceof CtrError) throw error;
    throw new InvalidArgumentError(name, 'a function that returns an OCI object', hook, { cause: error });
  }
  if (result instanceof Promise) throw new InvalidArgumentError(name, 'a function that returns at once', result);
  return result;
}

/** @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the hook throws, or leaves a field wrong or not understood. */
export const applySpecHook = (oci: OciSpec, hook: ((oci: OciSpec) => OciSpec | undefined) | undefined): OciSpec =>
  hook === undefined ? oci : ociSchema.read(changed('spec', oci, hook), 'spec()');

/** The same for the process of exec(). */
export function applyProcessHook(process: OciProcess, hook: ((process: OciProcess) => OciProcess | undefined) | undefined): OciProcess {
  if (hook === undefined) return process;
  const result = processSchema.read(changed('process', process, hook), 'process()') as OciProcess;
  if (Boolean(result.terminal) !== Boolean(process.terminal))
    throw new InvalidArgumentError('process().terminal', 'as it was: a terminal is asked for by `tty`', result.terminal);
  return result;
}
