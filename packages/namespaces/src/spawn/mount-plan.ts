// One mount of the options as steps: what is made before the pivot, while the host can be seen, and what is
// attached after it, when only the container can.
import { Fd } from '@ctr/internal/fd';
import { named, type Step, slot } from '@ctr/internal/steps';
import { attachDevNodes, DEV_SLOT, prepareDev } from '../steps/dev.js';
import { AT_FDCWD, atFlags, type MountAttr, mountAttrBytes, openHow } from '../steps/flags.js';
import { keep } from '../steps/keep.js';
import { attributeName, cloneSlot, cloneTree, newMount, reconfigure, setAttributes } from '../steps/mount-steps.js';
import { attachMaking } from '../steps/paths.js';
import { attributesOf, type MountWords, newAttributes, ofOneMount, propagationFlag, readMountWords } from './mount-words.js';
import type { BindMount, FileSystemMount, KernelMount, Mount, MountFlags, Remount, TmpfsMount } from './options.js';

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
  /** In the new process, while its mounts are still joined with the host's. */
  early?: readonly Step[];
  before: readonly Step[];
  after: readonly Step[];
  /** When all mounts and devices are there. */
  last?: readonly Step[];
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

/** What a new mount has: the defaults of its type unless a flag or a word takes them away, then what is asked for. */
function attributes(m: MountFlags, defaults: readonly string[], words: MountWords): string[] {
  const kept = defaults.filter((f) => (m as Record<string, unknown>)[f === 'ro' ? 'readOnly' : f] !== false);
  const names = [...new Set([...kept, ...flagsOf(m)])].map(attributeName);
  const all = { set: [...words.own.set, ...words.deep.set], clear: [...words.own.clear, ...words.deep.clear] };
  return newAttributes(names, all);
}

/** A copy of what the caller holds; before Linux 6.15 a detached mount cannot be copied, it is then used itself. */
const cloneGiven = (from: string, into: string, recursive: boolean, doing: string): Step[] => [
  { ...cloneSlot(from, into, doing, recursive), allow: ['EINVAL'], skipOnSuccess: 1 },
  { call: 'fcntl', args: [slot(from), named(1030, 'F_DUPFD_CLOEXEC'), 0], into, doing },
];

/** mount_setattr for all below, then for the mount alone: what the plain words of OCI mean. */
function change(name: string, words: MountWords, recursive: boolean, doing: string): Step[] {
  const { propagation } = words;
  const flag = propagation && { propagation: propagationFlag(propagation.kind) };
  if (!recursive) {
    const all = attributesOf(ofOneMount(words));
    return all || flag ? [setAttributes(name, { ...(all ?? { set: [] }), ...flag }, { doing })] : [];
  }
  const together = propagation?.recursive === true;
  const deep = attributesOf(words.deep);
  const own = attributesOf(words.own);
  return [
    ...(deep || together ? [setAttributes(name, { ...(deep ?? { set: [] }), ...(together ? flag : {}) }, { recursive: true, doing })] : []),
    ...(flag && !together ? [setAttributes(name, flag, { doing })] : []),
    ...(own ? [setAttributes(name, own, { doing })] : []),
  ];
}

/** The flags of our own options hold for all below, as the words with r do. */
function bindWords(m: BindMount): MountWords & { recursive: boolean } {
  const words = readMountWords([...flagsOf(m).map((f) => `r${f}`), ...(m.options ?? [])]);
  const recursive = words.bind?.recursive ?? m.recursive ?? true;
  return { ...words, recursive, propagation: words.propagation ?? { kind: m.propagation ?? 'private', recursive } };
}

/** Where later mounts of the host are to be seen, the copy is made while it is still joined with them. */
const travels = (words: MountWords): boolean => words.propagation?.kind === 'slave' || words.propagation?.kind === 'shared';

function bind(m: BindMount, name: string): MountSteps {
  const doing = `mount ${Fd.is(m.source) ? `fd ${m.source.fd}` : m.source} on ${m.target}`;
  const words = bindWords(m);
  const { recursive } = words;
  const source = `${name}.source`;
  const fds: Record<string, number> = {};
  let copy: Step[];
  if (Fd.is(m.source)) {
    fds[source] = m.source.fd;
    copy = cloneGiven(source, name, recursive, doing);
  } else copy = [cloneTree(m.source, name, { recursive, doing })];
  if (m.idMap) {
    fds[`${name}.userns`] = m.idMap.fd;
    // By the host's own rights: a user namespace has none over the file system that it is to see with other ids.
    copy.push(
      setAttributes(
        name,
        { userns: slot(`${name}.userns`) },
        { recursive: words.idmap?.recursive ?? recursive, doing: `map the ids of ${m.target}` },
      ),
    );
  }
  const inMonitor = Fd.is(m.source) || m.idMap !== undefined;
  const early = !inMonitor && travels(words);
  return {
    prepare: inMonitor ? copy : [],
    early: early ? copy : [],
    before: [...(inMonitor || early ? [] : copy), ...change(name, words, recursive, doing)],
    after: attachMaking(name, m.target, doing),
    fds,
  };
}

/** What is at the target goes into the new mount before it covers it. */
function copyUp(name: string, target: string, withMode: boolean, doing: string): Step[] {
  const from = `${name}.from`;
  const how = openHow(['O_RDONLY', 'O_DIRECTORY', 'O_CLOEXEC'], ['RESOLVE_NO_MAGICLINKS']);
  return [
    { call: 'openat2', args: [AT_FDCWD, target, how, 24], into: from, allow: ['ENOENT'], skipOnAllowed: 1, doing },
    { call: 'copy_tree', args: [slot(from), slot(name), withMode ? 1 : 0], doing, path: target },
  ];
}

/** Files and the targets of other mounts are made in it before it may become read-only. */
function readOnlyLast(name: string, attributes: readonly string[], doing: string): { first: string[]; last: Step[] } {
  const first = attributes.filter((n) => n !== 'MOUNT_ATTR_RDONLY');
  return { first, last: first.length < attributes.length ? [setAttributes(name, { set: ['MOUNT_ATTR_RDONLY'] }, { doing })] : [] };
}

function tmpfs(m: TmpfsMount, name: string): MountSteps {
  const doing = `mount a tmpfs on ${m.target}`;
  const words = readMountWords(m.options);
  const copies = m.copyUp || words.tmpcopyup;
  const given = m.mode !== undefined || words.data['mode'] !== undefined;
  const options: Record<string, string | true> = { mode: (m.mode ?? 0o1777).toString(8), ...words.data };
  if (m.size !== undefined) options['size'] = String(m.size);
  const { first, last } = readOnlyLast(name, attributes(m, ['nosuid', 'nodev'], words), doing);
  return {
    before: newMount('tmpfs', name, { options, attributes: first, doing }),
    after: [
      ...(copies ? copyUp(name, m.target, !given, doing) : []),
      ...attachMaking(name, m.target, doing),
      ...propagate(name, words, doing),
    ],
    last,
    fds: {},
  };
}

const NONE = { set: [], clear: [] };

/** The propagation of what is already where it shall be. */
const propagate = (name: string, words: MountWords, doing: string): Step[] =>
  words.propagation ? change(name, { ...words, own: NONE, deep: NONE }, false, doing) : [];

const KERNEL: Readonly<Record<string, { type: string; flags: string[] }>> = {
  proc: { type: 'proc', flags: ['nosuid', 'nodev', 'noexec'] },
  sysfs: { type: 'sysfs', flags: ['ro', 'nosuid', 'nodev', 'noexec'] },
  mqueue: { type: 'mqueue', flags: ['nosuid', 'nodev', 'noexec'] },
  devpts: { type: 'devpts', flags: ['nosuid', 'noexec'] },
  cgroup: { type: 'cgroup2', flags: ['ro', 'nosuid', 'nodev', 'noexec'] },
};

function devices(m: KernelMount, c: MountContext): MountSteps {
  const mknod = !c.userNamespace;
  const words = readMountWords(m.options);
  const doing = `mount ${m.target}`;
  const { first, last } = readOnlyLast(DEV_SLOT, attributes(m, ['nosuid', 'noexec'], words), doing);
  return {
    before: prepareDev({ mknod, console: c.terminal, options: words.data, attributes: first }),
    after: [
      ...attachMaking(DEV_SLOT, m.target, doing),
      ...attachDevNodes({ mknod, target: m.target }),
      ...propagate(DEV_SLOT, words, doing),
    ],
    last,
    fds: {},
  };
}

function kernel(m: KernelMount, name: string, c: MountContext): MountSteps {
  if (m.type === 'dev') return devices(m, c);
  const { type, flags } = KERNEL[m.type] as { type: string; flags: string[] };
  const doing = `mount ${type} on ${m.target}`;
  const words = readMountWords(m.options);
  const pts = { newinstance: true, ptmxmode: '0666', mode: '0620', ...(c.ttyGid ? { gid: '5' } : {}) } as const;
  const options: Record<string, string | true> = { ...(m.type === 'devpts' ? pts : {}), ...words.data };
  return {
    before: newMount(type, name, { options, attributes: attributes(m, flags, words), doing }),
    after: [...attachMaking(name, m.target, doing), ...propagate(name, words, doing)],
    fds: {},
  };
}

function fileSystem(m: FileSystemMount, name: string): MountSteps {
  const doing = `mount ${m.fileSystem} on ${m.target}`;
  const words = readMountWords(m.options);
  const all = attributes(m, [], words);
  // As mount(2) has it: a device that is read-only, or a journal that is not to be replayed, is not opened for writing.
  const options = { ...(all.includes('MOUNT_ATTR_RDONLY') ? { ro: true as const } : {}), ...words.data };
  return {
    before: newMount(m.fileSystem, name, { options, attributes: all, source: m.source ?? 'none', doing }),
    after: [...attachMaking(name, m.target, doing), ...propagate(name, words, doing)],
    fds: {},
  };
}

/** fspick(2) for what is of the file system, mount_setattr(2) for what is of the mount. */
function remount(m: Remount, name: string): MountSteps {
  const doing = `remount ${m.target}`;
  const words = readMountWords([...flagsOf(m), ...(m.options ?? [])]);
  const at = (attr: MountAttr, recursive: boolean): Step => ({
    call: 'mount_setattr',
    args: [AT_FDCWD, m.target, atFlags(...(recursive ? ['AT_RECURSIVE'] : [])), mountAttrBytes(attr), 32],
    doing,
  });
  const own = attributesOf(words.own);
  const deep = attributesOf(words.deep);
  const { propagation } = words;
  return {
    before: [],
    after: [
      ...(Object.keys(words.data).length > 0 ? reconfigure(m.target, `${name}.fs`, words.data, doing) : []),
      ...(deep ? [at(deep, true)] : []),
      ...(own ? [at(own, false)] : []),
      ...(propagation ? [at({ propagation: propagationFlag(propagation.kind) }, propagation.recursive)] : []),
    ],
    fds: {},
  };
}

function notBind(m: Exclude<Mount, BindMount>, name: string, c: MountContext): MountSteps {
  if (m.type === 'tmpfs') return tmpfs(m, name);
  if (m.type === 'filesystem') return fileSystem(m, name);
  return m.type === 'remount' ? remount(m, name) : kernel(m, name, c);
}

/** Made once for equal mounts: all but binds depend on nothing else. */
function keepMount(m: Exclude<Mount, BindMount>, name: string, c: MountContext): MountSteps {
  const key = `${name} ${c.userNamespace} ${c.ttyGid} ${c.terminal} ${JSON.stringify(m)}`;
  let made: MountSteps | undefined;
  const make = () => {
    made ??= notBind(m, name, c);
    return made;
  };
  return {
    before: keep(`before ${key}`, () => [...make().before]),
    after: keep(`after ${key}`, () => [...make().after]),
    last: keep(`last ${key}`, () => [...(make().last ?? [])]),
    fds: {},
  };
}

/** The slot of the mount that has this place among the options. */
export const mountSlot = (index: number): string => `mount${index}`;

/** The steps of one mount; `index` makes its slot's name. */
export function mountSteps(m: Mount, index: number, c: MountContext): MountSteps {
  const name = mountSlot(index);
  return m.type === 'bind' ? bind(m, name) : keepMount(m, name, c);
}
