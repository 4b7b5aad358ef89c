// A plan for a host that hides newer system calls. Costs nothing where there is none of them.
import { UnsupportedError } from '@ctr/internal/errors';
import type { Step } from '@ctr/internal/steps';
import type { Plan, StepGroup } from '../../plan/plan.js';
import { reassemble } from './assemble.js';
import { MOUNT_API, missing } from './missing.js';
import { LegacyMounts, withoutOpenat2 } from './mounts.js';

const opensCwd = (group: StepGroup): boolean => group.some((s) => s.into === 'cwd');

function oldMounts(setup: readonly StepGroup[]): StepGroup[] {
  const legacy = new LegacyMounts();
  return setup.flatMap((group): StepGroup[] => {
    if (group.some((s) => s.call === 'pivot_root')) return [legacy.pivot(group)];
    const steps = reassemble(group, (step, i) => legacy.rewrite(step, i));
    return opensCwd(group) ? [legacy.finish(), steps] : [steps];
  });
}

/**
 * SECURITY: without openat2(2) a magic link of /proc in the path of the working directory would be followed. So that it
 * finds nothing of the host's, the directory is entered after all other descriptors are closed (CVE-2024-21626).
 */
function oldOpen(setup: readonly StepGroup[]): StepGroup[] {
  const late: Step[] = [];
  const groups = setup.map((group): Step[] => {
    const steps = group.map(withoutOpenat2);
    if (!opensCwd(group)) return steps;
    const at = steps.findIndex((s) => s.into === 'cwd');
    late.push(...steps.slice(at));
    return steps.slice(0, at);
  });
  const closing = groups.findIndex((g) => g.some((s) => s.call === 'close_fds'));
  groups.splice(closing + 1, 0, late);
  return groups;
}

/** The plan as it is, or one that makes do with what this host has. */
export function downgrade(plan: Plan): Plan {
  if (!missing.mounts && !missing.openat2) return plan;
  const { prepare, setup } = plan.stages;
  if (missing.mounts && prepare.some((g) => g.some((s) => MOUNT_API.has(s.call))))
    throw new UnsupportedError('to mount by a descriptor, or with other ids', 'the newer mount calls, which this host hides');
  const mounts = missing.mounts ? oldMounts(setup) : setup;
  return { ...plan, stages: { ...plan.stages, setup: missing.openat2 ? oldOpen(mounts) : mounts } };
}
