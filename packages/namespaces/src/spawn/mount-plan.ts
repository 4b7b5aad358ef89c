// One mount of the options as steps: what is made before the pivot, while the host can be seen, and what is
// attached after it, when only the container can.
import { Fd } from '@ctr/internal/fd';
import { named, type Step, slot } from '@ctr/internal/steps';
import { attachDevNodes, DEV_SLOT, prepareDev } from '../steps/dev.js';
import { atFlags, mountAttrBytes } from '../steps/flags.js';
import { keep } from '../steps/keep.js';
import { attributeName, cloneSlot, cloneTree, newMount } from '../steps/mount-steps.js';
import { attachMaking } from '../steps/paths.js';
import type { BindMount, KernelMount, Mount, MountFlags, TmpfsMount } from './options.js';

export interface MountContext {
  /** In a user namespace of its own: no mknod, one gid perhaps. */
  userNamespace: boolean;
  /** Whether gid 5 (tty) exists inside. */
  ttyGid: boolean;
  /** Whether there will be a terminal, to be shown as /dev/console. */
  terminal: boolean;
}

export interface MountSteps {
  /** In the monitor, which has the same mounts as this process: a descriptor of theirs is worth nothing in new mount namespaces. */
  prepare?: readonly Step[];
  before: readonly Step[];
  after: readonly Step[];
  /** Descriptors of this process that go along. */
  fds: Record<string, number>;
}

const FLAG_NAMES = [
  ['readOnly', 'ro'],
  ['nosuid', 'nosuid'],
  ['nodev', 'nodev'],
  ['noexec', 'noexec'],
  ['noatime', 'noatime'],
] as const;

const flagsOf = (m: MountFlags): string[] => FLAG_NAMES.filter(([key]) => m[key]).map(([, name]) => name);
/** Flags that a kernel mount has unless told otherwise. */
const withDefaults = (m: MountFlags, defaults: string[]): string[] =>
  [...new Set([...defaults, ...flagsOf(m)])].filter((f) => (m as Record<string, unknown>)[f] !== false);

const PROPAGATION = { private: 'MS_PRIVATE', slave: 'MS_SLAVE', shared: 'MS_SHARED' } as const;

/** A copy of what the caller holds; before Linux 6.15 a detached mount cannot be copied, it is then used itself. */
const cloneGiven = (from: string, into: string, recursive: boolean, doing: string): Step[] => [
  { ...cloneSlot(from, into, doing, recursive), allow: ['EINVAL'], skipOnSuccess: 1 },
  { call: 'fcntl', args: [slot(from), named(1030, 'F_DUPFD_CLOEXEC'), 0], into, doing },
];

function bind(m: BindMount, name: string): MountSteps {
  const doing = `mount ${Fd.is(m.source) ? `fd ${m.source.fd}` : m.source} on ${m.target}`;
  const recursive = m.recursive ?? true;
  const source = `${name}.source`;
  const [fds, prepare] = Fd.is(m.source) ? [{ [source]: m.source.fd }, cloneGiven(source, name, recursive, doing)] : [{}, []];
  const before = Fd.is(m.source) ? [] : [cloneTree(m.source, name, { recursive, doing })];
  const attr = { set: flagsOf(m).map(attributeName), propagation: PROPAGATION[m.propagation ?? 'private'] };
  before.push({
    call: 'mount_setattr',
    args: [slot(name), '', atFlags('AT_EMPTY_PATH', ...(recursive ? ['AT_RECURSIVE'] : [])), mountAttrBytes(attr), 32],
    doing,
  });
  return { prepare, before, after: attachMaking(name, m.target, doing), fds };
}

function tmpfs(m: TmpfsMount, name: string): MountSteps {
  const doing = `mount a tmpfs on ${m.target}`;
  const options: Record<string, string> = { mode: (m.mode ?? 0o1777).toString(8) };
  if (m.size !== undefined) options['size'] = String(m.size);
  return {
    before: newMount('tmpfs', name, { options, attributes: withDefaults(m, ['nosuid', 'nodev']), doing }),
    after: attachMaking(name, m.target, doing),
    fds: {},
  };
}

const KERNEL: Readonly<Record<string, { type: string; flags: string[] }>> = {
  proc: { type: 'proc', flags: ['nosuid', 'nodev', 'noexec'] },
  sysfs: { type: 'sysfs', flags: ['ro', 'nosuid', 'nodev', 'noexec'] },
  mqueue: { type: 'mqueue', flags: ['nosuid', 'nodev', 'noexec'] },
  devpts: { type: 'devpts', flags: ['nosuid', 'noexec'] },
  cgroup: { type: 'cgroup2', flags: ['ro', 'nosuid', 'nodev', 'noexec'] },
};

function kernel(m: KernelMount, name: string, c: MountContext): MountSteps {
  if (m.type === 'dev') {
    const mknod = !c.userNamespace;
    return {
      before: prepareDev({ mknod, console: c.terminal }),
      after: [...attachMaking(DEV_SLOT, m.target, `mount ${m.target}`), ...attachDevNodes({ mknod, target: m.target })],
      fds: {},
    };
  }
  const { type, flags } = KERNEL[m.type] as { type: string; flags: string[] };
  const doing = `mount ${type} on ${m.target}`;
  const options: Record<string, string | true> =
    m.type === 'devpts' ? { newinstance: true, ptmxmode: '0666', mode: '0620', ...(c.ttyGid ? { gid: '5' } : {}) } : {};
  return {
    before: newMount(type, name, { options, attributes: withDefaults(m, flags), doing }),
    after: attachMaking(name, m.target, doing),
    fds: {},
  };
}

/** Made once for equal mounts: all but binds depend on nothing else. */
function keepMount(m: TmpfsMount | KernelMount, name: string, c: MountContext): MountSteps {
  const key = `${name} ${c.userNamespace} ${c.ttyGid} ${c.terminal} ${JSON.stringify(m)}`;
  let made: MountSteps | undefined;
  const make = () => {
    made ??= m.type === 'tmpfs' ? tmpfs(m, name) : kernel(m, name, c);
    return made;
  };
  return { before: keep(`before ${key}`, () => [...make().before]), after: keep(`after ${key}`, () => [...make().after]), fds: {} };
}

/** The slot of the mount that has this place among the options. */
export const mountSlot = (index: number): string => `mount${index}`;

/** The steps of one mount; `index` makes its slot's name. */
export function mountSteps(m: Mount, index: number, c: MountContext): MountSteps {
  const name = mountSlot(index);
  return m.type === 'bind' ? bind(m, name) : keepMount(m, name, c);
}
