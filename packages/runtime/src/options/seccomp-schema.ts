// A seccomp profile given by the caller, in OCI's form or Docker's: copied here, understood by the filter's compiler.
import type { OciSeccomp } from '@ctr/namespaces';
import { isPlainObject, join, reject, type Schema } from './schema.js';

const MAX_DEPTH = 8;
const EXPECTED = 'an OCI or Docker seccomp profile';

/** A deep copy of plain data: own properties, each read once. Too deep or cyclic is refused. */
function copy(value: unknown, path: string, depth: number): unknown {
  if (depth > MAX_DEPTH) return reject(path, `${EXPECTED}, not nested this deep`, value);
  if (Array.isArray(value)) return Array.from({ length: value.length }, (_, i) => copy(value[i], join(path, i), depth + 1));
  if (isPlainObject(value)) return Object.fromEntries(Object.keys(value).map((key) => [key, copy(value[key], join(path, key), depth + 1)]));
  if (typeof value === 'object' || typeof value === 'function' || typeof value === 'symbol') return reject(path, EXPECTED, value);
  return value;
}

export const seccompProfile: Schema<OciSeccomp> = {
  expected: EXPECTED,
  read: (value, path) => (isPlainObject(value) ? (copy(value, path, 0) as OciSeccomp) : reject(path, EXPECTED, value)),
};
