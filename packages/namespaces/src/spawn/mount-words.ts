// The words of mount(8) and of OCI's mount options, told apart: attributes of the mount, for it alone or for all below,
// propagation, and what is for the file system itself.
// <https://github.com/opencontainers/runtime-spec/blob/main/config.md#linux-mount-options>
import { MOUNT_ATTR, type MountAttr } from '../steps/flags.js';

export const PROPAGATIONS = ['private', 'slave', 'shared', 'unbindable'] as const;
export type Propagation = (typeof PROPAGATIONS)[number];
const PROPAGATION_FLAG = { private: 'MS_PRIVATE', slave: 'MS_SLAVE', shared: 'MS_SHARED', unbindable: 'MS_UNBINDABLE' } as const;

export const propagationFlag = (p: Propagation): NonNullable<MountAttr['propagation']> => PROPAGATION_FLAG[p];

/** Attributes to set and to clear, by the kernel's names. */
export interface AttributeWords {
  set: string[];
  clear: string[];
}

export interface MountWords {
  own: AttributeWords;
  /** With all mounts below: the words that begin with r. */
  deep: AttributeWords;
  propagation?: { kind: Propagation; recursive: boolean };
  /** 'bind' and 'rbind'. */
  bind?: { recursive: boolean };
  /** For the file system: key and value, or true for a flag. */
  data: Record<string, string | true>;
  /** 'idmap' and 'ridmap'. */
  idmap?: { recursive: boolean };
  tmpcopyup: boolean;
}

/** word -> [attribute, set?]; an access time is one of three, so setting one clears the field. */
const ATTRIBUTES: Readonly<Record<string, readonly [string, boolean]>> = {
  ro: ['MOUNT_ATTR_RDONLY', true],
  rw: ['MOUNT_ATTR_RDONLY', false],
  nosuid: ['MOUNT_ATTR_NOSUID', true],
  suid: ['MOUNT_ATTR_NOSUID', false],
  nodev: ['MOUNT_ATTR_NODEV', true],
  dev: ['MOUNT_ATTR_NODEV', false],
  noexec: ['MOUNT_ATTR_NOEXEC', true],
  exec: ['MOUNT_ATTR_NOEXEC', false],
  nosymfollow: ['MOUNT_ATTR_NOSYMFOLLOW', true],
  symfollow: ['MOUNT_ATTR_NOSYMFOLLOW', false],
  nodiratime: ['MOUNT_ATTR_NODIRATIME', true],
  diratime: ['MOUNT_ATTR_NODIRATIME', false],
  noatime: ['MOUNT_ATTR_NOATIME', true],
  atime: ['MOUNT_ATTR_NOATIME', false],
  strictatime: ['MOUNT_ATTR_STRICTATIME', true],
  nostrictatime: ['MOUNT_ATTR_STRICTATIME', false],
  relatime: ['MOUNT_ATTR_NOATIME', false],
  norelatime: ['MOUNT_ATTR_NOATIME', false],
};
const TIMES = ['MOUNT_ATTR_NOATIME', 'MOUNT_ATTR_STRICTATIME'];
/**
 * What is so anyway, or concerns only messages in the kernel's log. fsconfig(2) has no word for 'iversion', and none is needed: the file
 * systems that count changes do so whether they are told or not (xfs, btrfs, tmpfs; ext4 since Linux 6.1).
 */
const NEUTRAL = new Set(['', 'defaults', 'loud', 'silent', 'iversion', 'noiversion', 'norelatime', 'newinstance']);
/** The flags of a super block, by the words that take them back. */
const TAKES_BACK: Readonly<Record<string, string>> = { async: 'sync', nolazytime: 'lazytime', nomand: 'mand' };

function setAttribute(words: AttributeWords, [name, set]: readonly [string, boolean]): void {
  // A later word wins over an earlier one.
  for (const list of [words.set, words.clear]) {
    const at = list.indexOf(name);
    if (at >= 0) list.splice(at, 1);
  }
  if (TIMES.includes(name)) {
    words.set = words.set.filter((n) => !TIMES.includes(n));
    if (!words.clear.includes('MOUNT_ATTR__ATIME')) words.clear.push('MOUNT_ATTR__ATIME');
    if (set) words.set.push(name);
  } else (set ? words.set : words.clear).push(name);
}

function readOne(words: MountWords, word: string): void {
  const own = ATTRIBUTES[word];
  const deep = word.startsWith('r') ? ATTRIBUTES[word.slice(1)] : undefined;
  const propagation = PROPAGATIONS.find((p) => word === p || word === `r${p}`);
  if (own !== undefined) setAttribute(words.own, own);
  else if (deep !== undefined) setAttribute(words.deep, deep);
  else if (propagation !== undefined) words.propagation = { kind: propagation, recursive: word.startsWith('r') };
  else if (word === 'bind' || word === 'rbind') words.bind = { recursive: word === 'rbind' };
  else if (word === 'idmap' || word === 'ridmap') words.idmap = { recursive: word === 'ridmap' };
  else if (word === 'tmpcopyup' || word === 'copyup') words.tmpcopyup = true;
  else if (Object.hasOwn(TAKES_BACK, word)) delete words.data[TAKES_BACK[word] as string];
  else if (!NEUTRAL.has(word)) {
    const at = word.indexOf('=');
    words.data[at < 0 ? word : word.slice(0, at)] = at < 0 ? true : word.slice(at + 1);
  }
}

/** Later words win over earlier ones. */
export function readMountWords(options: readonly string[] = []): MountWords {
  const words: MountWords = { own: { set: [], clear: [] }, deep: { set: [], clear: [] }, data: {}, tmpcopyup: false };
  for (const word of options) readOne(words, word);
  return words;
}

/** The words for all below and those for the mount alone, where there is nothing below: these win. */
export const ofOneMount = ({ own, deep }: MountWords): AttributeWords => {
  const words: AttributeWords = { set: [], clear: [] };
  const time = own.clear.includes('MOUNT_ATTR__ATIME');
  const kept = (name: string): boolean =>
    !own.set.includes(name) && !own.clear.includes(name) && !(time && [...TIMES, 'MOUNT_ATTR__ATIME'].includes(name));
  words.set.push(...deep.set.filter(kept), ...own.set);
  words.clear.push(...deep.clear.filter(kept), ...own.clear);
  return words;
};

/** struct mount_attr's part; undefined when there is nothing to change. */
export const attributesOf = (w: AttributeWords): { set: string[]; clear: string[] } | undefined =>
  w.set.length + w.clear.length === 0 ? undefined : { set: w.set.filter((n) => MOUNT_ATTR[n] !== undefined), clear: w.clear };

/** Attributes of a mount that is new, so that nothing need be cleared: 'MOUNT_ATTR_…' names. */
export const newAttributes = (names: readonly string[], w: AttributeWords): string[] => [
  ...new Set([...names.filter((n) => !w.clear.includes(n) || w.set.includes(n)), ...w.set]),
];
