// The caller's `spec` hook: it gets the generated object, changes it or returns another, and what comes out is checked.
import { CtrError, InvalidArgumentError } from '@ctr/internal/errors';
import { ociSchema } from './oci-schema.js';
import type { OciSpec } from './types.js';

/** @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the hook throws, or leaves a field wrong or not understood. */
export function applySpecHook(oci: OciSpec, hook: ((oci: OciSpec) => OciSpec | undefined) | undefined): OciSpec {
  if (hook === undefined) return oci;
  let result: unknown;
  try {
    // A copy: parts of the object, such as the default filter, are shared by all containers.
    const own = structuredClone(oci);
    result = hook(own) ?? own;
  } catch (error) {
    if (error instanceof CtrError) throw error;
    throw new InvalidArgumentError('spec', 'a function that returns an OCI object', hook, { cause: error });
  }
  if (result instanceof Promise) throw new InvalidArgumentError('spec', 'a function that returns at once', result);
  return ociSchema.read(result, 'spec()');
}
