// v1's way to stop all processes of a cgroup; v2 has cgroup.freeze in every cgroup. See ../freeze.ts for the use.
import type { Controller } from './controller.js';

/** Written to freezer.state. Read back, FREEZING says that some are still on their way. */
export const FROZEN = 'FROZEN';
export const THAWED = 'THAWED';

export const freezer: Controller<never> = { name: 'freezer', options: [], render: () => [], collected: () => [], stats: () => null };
