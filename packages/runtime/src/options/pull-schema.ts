// The options of runContainer() about where its image comes from: those of ImageStore.pull(), checked by @ctr/image itself.
import { checkPullOption, type PullOptions, type RegistryOptions } from '@ctr/image';
import { InvalidArgumentError } from '@ctr/internal/errors';
import { isPlainObject, optional, reject, type Schema } from './schema.js';

/** What a registry is asked with, and how large layers may be. */
export type PullOptionName = keyof RegistryOptions | 'limits';

const LIMITS_HINT = 'these are the limits of unpacking an image; those of the container go into "resources"';

/** A copy, so that nothing can change after it was checked. */
function pullOption<K extends PullOptionName>(name: K): Schema<NonNullable<PullOptions[K]> | undefined> {
  return optional({
    expected: `the option "${name}" of ImageStore.pull()`,
    read: (value, path) => {
      // SECURITY: it may hold a secret, so no error shows the whole of it.
      if (typeof value === 'object' && !Array.isArray(value) && !isPlainObject(value)) reject(path, 'a plain object', undefined);
      const copy = cloned(value, path);
      try {
        checkPullOption(name, copy, path);
      } catch (error) {
        if (name !== 'limits' || !(error instanceof InvalidArgumentError)) throw error;
        reject(error.path, error.expected, undefined, LIMITS_HINT);
      }
      return copy as NonNullable<PullOptions[K]>;
    },
  });
}

function cloned(value: unknown, path: string): unknown {
  try {
    return structuredClone(value);
  } catch {
    return reject(path, 'plain data', undefined);
  }
}

/** By name, so that an option that pulling gains is missed here by the compiler. */
export const PULL_FIELDS = {
  auth: pullOption('auth'),
  insecure: pullOption('insecure'),
  trustedOrigins: pullOption('trustedOrigins'),
  mirrors: pullOption('mirrors'),
  proxy: pullOption('proxy'),
  tls: pullOption('tls'),
  retry: pullOption('retry'),
  idleTimeoutMs: pullOption('idleTimeoutMs'),
  limits: pullOption('limits'),
} satisfies { [K in PullOptionName]: Schema<PullOptions[K] | undefined> };

export const PULL_NAMES = Object.keys(PULL_FIELDS) as PullOptionName[];

/** Those that were given. */
export function pullOptionsOf(spec: { readonly [K in PullOptionName]?: PullOptions[K] | undefined }): Pick<PullOptions, PullOptionName> {
  return Object.fromEntries(PULL_NAMES.filter((name) => spec[name] !== undefined).map((name) => [name, spec[name]]));
}
