// OCI's `linux.mountLabel`: the SELinux context of the files in file systems that are made for the container, context= of mount(8).
import { type Arg, named, type Step, slot } from '@ctr/internal/steps';
import type { StepGroup } from '../plan/plan.js';
import { openFlags } from '../steps/flags.js';

/** Those that have no labels of their own, or are to have another one; /proc and /sys are the kernel's. */
const LABELLED: ReadonlySet<Arg | undefined> = new Set(['tmpfs', 'overlay', 'devpts']);
/**
 * The kernel makes it with the IPC namespace, without a label, and takes none when it is mounted (EINVAL: security/selinux/hooks.c, "same
 * superblock, different security settings"). Its root can be labelled like any file.
 */
const MADE_BEFORE = 'mqueue';
const SET_STRING = named(1, 'FSCONFIG_SET_STRING');
const CREATE = 6;
const ROOT = 'label.root';

const slotOf = (arg: Arg | undefined): string | undefined =>
  typeof arg === 'object' && arg !== null && 'slot' in arg ? arg.slot : undefined;
const isCreate = ({ call, args: [, command] }: Step): boolean =>
  call === 'fsconfig' &&
  (command === CREATE || (typeof command === 'object' && command !== null && 'value' in command && command.value === CREATE));

function labelRoot(mount: string, label: string): Step[] {
  const doing = `label the message queues ${label}`;
  const bytes = Buffer.from(label);
  return [
    { call: 'openat', args: [slot(mount), '.', openFlags('O_RDONLY', 'O_DIRECTORY', 'O_CLOEXEC')], into: ROOT, doing },
    { call: 'fsetxattr', args: [slot(ROOT), 'security.selinux', { bytes, text: JSON.stringify(label) }, bytes.length, 0], doing },
    { call: 'close', args: [slot(ROOT)] },
  ];
}

/** What goes before a step, and after it. */
interface Around {
  readonly before: readonly Step[];
  readonly after: readonly Step[];
}

function around(step: Step, label: string, types: Map<string, Arg | undefined>): Around {
  if (step.call === 'fsopen' && step.into !== undefined) types.set(step.into, step.args[0]);
  const type = types.get(slotOf(step.args[0]) ?? '');
  if (step.call === 'fsmount' && step.into !== undefined && type === MADE_BEFORE) return { before: [], after: labelRoot(step.into, label) };
  if (!isCreate(step) || !LABELLED.has(type)) return { before: [], after: [] };
  const doing = step.doing === undefined ? {} : { doing: step.doing };
  return { before: [{ call: 'fsconfig', args: [step.args[0] as Arg, SET_STRING, 'context', label, 0], ...doing }], after: [] };
}

/** The same steps with the label given to each new file system of a kind that takes one. */
export function labelMounts(group: StepGroup, label: string): StepGroup {
  const types = new Map<string, Arg | undefined>();
  const all = group.map((step) => around(step, label, types));
  const added = all.map(({ before, after }) => before.length + after.length);
  if (added.every((n) => n === 0)) return group;
  /** As many further steps are skipped as have come in between. */
  const skip = (n: number, at: number): number => added.slice(at + 1, at + 1 + n).reduce((sum, more) => sum + more, n);
  return group.flatMap((step, i) => {
    const { skipOnAllowed, skipOnSuccess } = step;
    const moved = {
      ...(skipOnAllowed === undefined ? {} : { skipOnAllowed: skip(skipOnAllowed, i) }),
      ...(skipOnSuccess === undefined ? {} : { skipOnSuccess: skip(skipOnSuccess, i) }),
    };
    const { before, after } = all[i] as Around;
    return [...before, skipOnAllowed === undefined && skipOnSuccess === undefined ? step : { ...step, ...moved }, ...after];
  });
}
