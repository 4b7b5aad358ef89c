// Asks beforehand whether limits would be refused.
import type { UnsupportedError } from '@ctr/internal/errors';
import type { CgroupHost } from '../host/detect.js';
import type { CgroupParent } from '../parent/parent.js';
import { checkResources, type Resources } from '../resources.js';
import { devicesNotEnforced, isLimit, renderAll } from './render.js';
import { terrainOf } from './terrain.js';

/** The answer of {@link canEnforce}. */
export interface Enforceable {
  /** True when all of it can be enforced. */
  readonly ok: boolean;
  /** What {@link describeCgroup} would throw, one for each limit that cannot be set. Empty when it would throw nothing. */
  readonly missing: readonly UnsupportedError[];
  /** Options that are taken but not enforced: `devices` on a v2 host where no program may be loaded. */
  readonly notEnforced: readonly (keyof Resources)[];
}

/**
 * Whether this host can enforce limits, for a caller who has defaults to drop: touches nothing, throws no
 * UnsupportedError.
 *
 * @param at a parent knows exactly; a host from {@link detectCgroups} supposes that the kernel has each controller's files
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for values that no host could take
 * @example
 * ```ts
 * const pids = canEnforce(parent, { pids: 1024 }).ok ? 1024 : undefined
 * ```
 */
export function canEnforce(at: CgroupParent | CgroupHost, resources: Resources): Enforceable {
  checkResources(resources);
  const terrain = terrainOf(at);
  const missing = renderAll(terrain, resources).filter((x): x is UnsupportedError => !isLimit(x));
  const notEnforced: (keyof Resources)[] = devicesNotEnforced(terrain, resources) ? ['devices'] : [];
  return { ok: missing.length === 0 && notEnforced.length === 0, missing, notEnforced };
}
