// From which NUMA nodes a program's memory comes: set_mempolicy(2), OCI's `linux.memoryPolicy`.
import { flags, named, type Step } from '@ctr/internal/steps';
import { bitSet } from './scheduling.js';

export const MEMORY_MODES: Readonly<Record<string, number>> = {
  MPOL_DEFAULT: 0,
  MPOL_PREFERRED: 1,
  MPOL_BIND: 2,
  MPOL_INTERLEAVE: 3,
  MPOL_LOCAL: 4,
  MPOL_PREFERRED_MANY: 5,
  MPOL_WEIGHTED_INTERLEAVE: 6,
};

export const MEMORY_FLAGS: Readonly<Record<string, number>> = {
  MPOL_F_STATIC_NODES: 0x8000,
  MPOL_F_RELATIVE_NODES: 0x4000,
  MPOL_F_NUMA_BALANCING: 0x2000,
};

/** OCI's `linux.memoryPolicy`. */
export interface MemoryPolicy {
  /** Such as 'MPOL_BIND' or 'MPOL_INTERLEAVE'. */
  mode: string;
  /** The nodes, such as '0-3,7'; MPOL_DEFAULT and MPOL_LOCAL have none. */
  nodes?: string;
  /** Such as 'MPOL_F_STATIC_NODES'. */
  flags?: readonly string[];
}

export function setMemoryPolicy(policy: MemoryPolicy, nodes: readonly number[]): Step {
  const word = flags({ ...MEMORY_MODES, ...MEMORY_FLAGS }, [policy.mode, ...(policy.flags ?? [])]);
  const bytes = bitSet(nodes);
  // The kernel takes the count of bits to be one more than it is (set_mempolicy(2), BUGS).
  const mask = nodes.length === 0 ? [null, 0] : [{ bytes, text: `{${policy.nodes}}` }, bytes.length * 8 + 1];
  return { call: 'set_mempolicy', args: [named(word.value, word.text), ...mask], doing: `set the memory policy ${policy.mode}` };
}
