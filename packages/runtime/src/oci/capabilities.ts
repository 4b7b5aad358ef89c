// How a preset, `add` and `drop` make the five capability sets of a process.
// <https://man7.org/linux/man-pages/man7/capabilities.7.html>
import { CAPABILITIES, DEFAULT_CAPABILITIES } from '@ctr/namespaces';
import type { CapabilitySet } from './types.js';

const DOCKER = ['CAP_AUDIT_WRITE', 'CAP_MKNOD', 'CAP_NET_RAW'];

export const PRESET_CAPABILITIES: Readonly<Record<'sandbox' | 'docker', readonly string[]>> = {
  sandbox: DEFAULT_CAPABILITIES,
  docker: [...DEFAULT_CAPABILITIES, ...DOCKER],
};

export interface CapabilityWish {
  preset: readonly string[];
  add: readonly string[];
  drop: 'all' | readonly string[];
  /** What this process may hand on at all; `undefined` inside a new user namespace, where it is everything. */
  available: readonly string[] | undefined;
  /** The program does not run as user 0 of the container. */
  ordinaryUser: boolean;
}

const sorted = (names: Iterable<string>): string[] => {
  const wanted = new Set(names);
  return CAPABILITIES.filter((name) => wanted.has(name));
};

/**
 * The five sets. Inheritable and ambient stay empty (CVE-2022-24769: a program with file capabilities would gain
 * them), save for what was added by name for an ordinary user, whom no other way would give it to.
 */
export function capabilitySets(wish: CapabilityWish): Record<CapabilitySet, string[]> {
  const all = wish.add.includes('CAP_ALL');
  const dropAll = wish.drop === 'all' || wish.drop.includes('CAP_ALL');
  const base = all ? CAPABILITIES : dropAll ? [] : wish.preset;
  const dropped = new Set(dropAll ? [] : wish.drop);
  const named = wish.add.filter((name) => name !== 'CAP_ALL');
  // The preset is cut to what is there; what was asked for by name stays, so that its failure is seen.
  const kept = base.filter((name) => !dropped.has(name) && (wish.available?.includes(name) ?? true));
  const bounding = sorted([...kept, ...named]);
  const held = wish.ordinaryUser ? sorted(named) : bounding;
  const ambient = wish.ordinaryUser ? sorted(named) : [];
  return { bounding, effective: held, permitted: held, inheritable: ambient, ambient };
}
