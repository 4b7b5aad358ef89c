// The system call filter of an OCI object as the kernel takes it. Compiled once for each profile object: the default
// one is the same object for all containers with the same capabilities.
import { compileSeccomp, defaultSeccompProfile, type OciSeccomp } from '@ctr/namespaces';
import type { RunSpec } from '../options/run-schema.js';
import type { OciSpec } from './types.js';

const defaults = new Map<string, OciSeccomp>();

/** What some capabilities open, such as AF_PACKET for NET_RAW, is open in the default profile for their holders. */
function defaultProfile(capabilities: readonly string[]): OciSeccomp {
  const key = capabilities.join();
  let profile = defaults.get(key);
  if (profile === undefined) {
    profile = defaultSeccompProfile({ capabilities });
    defaults.set(key, profile);
  }
  return profile;
}

/** The profile that an option means; undefined for 'unconfined'. */
export function seccompProfile(option: RunSpec['seccomp'], capabilities: readonly string[]): OciSeccomp | undefined {
  if (option === 'unconfined') return undefined;
  return option === undefined || option === 'default' ? defaultProfile(capabilities) : option;
}

const compiled = new WeakMap<OciSeccomp, Map<string, Uint8Array>>();

/** The filter's program; undefined when there is no filter. */
export function compiledFilter(oci: OciSpec): Uint8Array | undefined {
  const profile = oci.linux.seccomp;
  if (profile === undefined) return undefined;
  const capabilities = oci.process.capabilities?.bounding ?? [];
  const byCapabilities = compiled.get(profile) ?? new Map<string, Uint8Array>();
  compiled.set(profile, byCapabilities);
  const key = capabilities.join();
  const program = byCapabilities.get(key) ?? compileSeccomp(profile, { capabilities });
  byCapabilities.set(key, program);
  return program;
}
