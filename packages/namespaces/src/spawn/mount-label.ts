// OCI's `linux.mountLabel`: the SELinux context of the files in file systems that are made for the container, context= of mount(8).
import { type Arg, named, type Step, slot } from '@ctr/internal/steps';
import type { StepGroup } from '../plan/plan.js';

/** Those that have no labels of their own, or are to have another one; /proc and /sys are the kernel's. */
const LABELLED: ReadonlySet<Arg | undefined> = new Set(['tmpfs', 'overlay', 'mqueue', 'devpts']);
const SET_STRING = named(1, 'FSCONFIG_SET_STRING');
const CREATE = 6;

const slotOf = (arg: Arg | undefined): string | undefined =>
  typeof arg === 'object' && arg !== null && 'slot' in arg ? arg.slot : undefined;
const isCreate = ({ call, args: [, command] }: Step): boolean =>
  call === 'fsconfig' &&
  (command === CREATE || (typeof command === 'object' && command !== null && 'value' in command && command.value === CREATE));

/** The same steps with the label given to each new file system of a kind that takes one. */
export function labelMounts(group: StepGroup, label: string): StepGroup {
  const types = new Map<string, Arg | undefined>();
  const before: Step[][] = group.map((step) => {
    if (step.call === 'fsopen' && step.into !== undefined) types.set(step.into, step.args[0]);
    const fs = isCreate(step) ? slotOf(step.args[0]) : undefined;
    if (fs === undefined || !LABELLED.has(types.get(fs))) return [];
    const doing = step.doing === undefined ? {} : { doing: step.doing };
    return [{ call: 'fsconfig', args: [slot(fs), SET_STRING, 'context', label, 0], ...doing }];
  });
  if (before.every((steps) => steps.length === 0)) return group;
  /** As many further steps are skipped as have come in between. */
  const skip = (n: number | undefined, at: number): number | undefined =>
    n === undefined ? undefined : n + before.slice(at + 1, at + 1 + n).flat().length;
  return group.flatMap((step, i) => {
    const { skipOnAllowed, skipOnSuccess } = step;
    const moved = {
      ...(skipOnAllowed === undefined ? {} : { skipOnAllowed: skip(skipOnAllowed, i) as number }),
      ...(skipOnSuccess === undefined ? {} : { skipOnSuccess: skip(skipOnSuccess, i) as number }),
    };
    return [...(before[i] as Step[]), skipOnAllowed === undefined && skipOnSuccess === undefined ? step : { ...step, ...moved }];
  });
}
