// Mounts: the caller's -> OCI's, and OCI's -> the launcher's. OCI writes flags and data into one list of words.
import { InvalidArgumentError, UnsupportedError } from '@ctr/internal/errors';
import type { Mount } from '@ctr/namespaces';
import type { RunSpec } from '../options/run-schema.js';
import { parseBytes } from '../options/units.js';
import type { OciMount } from './types.js';

type CallerMount = NonNullable<RunSpec['mounts']>[number];

function fromMount(mount: CallerMount): OciMount {
  const access = mount.readOnly ? ['ro'] : ['rw'];
  if (mount.type === 'bind') {
    // An image's user must not gain the host's set-id programs or devices by way of a folder.
    const deep = mount.recursive === false ? '' : 'r';
    const options = [
      `${deep}bind`,
      `${deep}${mount.propagation ?? 'private'}`,
      'nosuid',
      'nodev',
      ...(mount.noexec ? ['noexec'] : []),
      ...access,
    ];
    return { destination: mount.target, type: 'bind', source: mount.source, options };
  }
  const size = mount.size === undefined ? [] : [`size=${mount.size}`];
  const mode = `mode=${(mount.mode ?? 0o1777).toString(8).padStart(4, '0')}`;
  return {
    destination: mount.target,
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'nodev', ...(mount.noexec === false ? [] : ['noexec']), mode, ...size, ...access],
  };
}

/** The caller's mounts, those without a parent first: '/a' before '/a/b'. */
export function callerMounts(spec: RunSpec): OciMount[] {
  const short = [...(spec.tmpfs ?? [])].map(
    ([target, value]): CallerMount => ({ type: 'tmpfs', target, ...(typeof value === 'number' ? { size: value } : value) }),
  );
  const depth = (m: OciMount): number => m.destination.split('/').length;
  return [...(spec.mounts ?? []), ...short].map(fromMount).sort((a, b) => depth(a) - depth(b));
}

interface Words {
  readonly flags: ReadonlySet<string>;
  readonly data: ReadonlyMap<string, string>;
}

function splitWords(options: readonly string[]): Words {
  const flags = new Set<string>();
  const data = new Map<string, string>();
  for (const word of options) {
    const at = word.indexOf('=');
    if (at < 0) flags.add(word);
    else data.set(word.slice(0, at), word.slice(at + 1));
  }
  return { flags, data };
}

const PROPAGATION = ['private', 'slave', 'shared'] as const;
const PROPAGATION_WORDS = PROPAGATION.flatMap((p) => [p, `r${p}`]);
/** Words that say what is done anyway, or what concerns only the time stamps of memory. */
const NEUTRAL = ['rw', 'relatime', 'strictatime', 'newinstance', 'suid', 'exec', 'dev', 'async'];
const COMMON = ['ro', 'nosuid', 'nodev', 'noexec', ...NEUTRAL];
/** Handed on word for word. */
const HANDED_ON = ['noatime', 'atime', 'nodiratime', 'diratime', 'nosymfollow', 'symfollow', 'norelatime', 'nostrictatime'];
const DEEP = [...COMMON, ...HANDED_ON].map((word) => `r${word}`);
const ID_MAP = ['idmap', 'ridmap'];
const FURTHER = [...HANDED_ON, ...DEEP, ...ID_MAP, 'unbindable', 'runbindable', 'tmpcopyup'];

const TMPFS_DATA = ['nr_inodes', 'nr_blocks', 'uid', 'gid', 'huge', 'mpol'];

/** What each type may say; a word outside of this is refused, because leaving it out could mean less safety. */
const WORDS: Readonly<Record<string, { flags: readonly string[]; data: readonly string[] }>> = {
  bind: {
    flags: [...COMMON, 'bind', 'rbind', ...PROPAGATION_WORDS, ...HANDED_ON, ...DEEP, ...ID_MAP, 'unbindable', 'runbindable'],
    data: [],
  },
  tmpfs: { flags: [...COMMON, ...HANDED_ON, 'tmpcopyup'], data: ['size', 'mode', ...TMPFS_DATA] },
  proc: { flags: [...COMMON, ...HANDED_ON], data: ['hidepid', 'subset', 'gid'] },
  sysfs: { flags: COMMON, data: [] },
  mqueue: { flags: COMMON, data: [] },
  cgroup: { flags: COMMON, data: [] },
  devpts: { flags: COMMON, data: ['ptmxmode', 'mode', 'gid'] },
};

function refuseUnknownWords(type: string, words: Words, destination: string): void {
  const known = WORDS[type];
  if (known === undefined)
    throw new UnsupportedError(`the mount type ${JSON.stringify(type)} on ${destination}`, `one of ${Object.keys(WORDS).join(', ')}`);
  const unknown = [...words.flags].find((f) => !known.flags.includes(f)) ?? [...words.data.keys()].find((k) => !known.data.includes(k));
  if (unknown !== undefined)
    throw new UnsupportedError(
      `the mount option ${JSON.stringify(unknown)} on ${destination}`,
      `one of ${[...known.flags, ...known.data].join(', ')}`,
    );
}

const flagsOf = ({ flags }: Words) => ({
  readOnly: flags.has('ro'),
  nosuid: flags.has('nosuid'),
  nodev: flags.has('nodev'),
  noexec: flags.has('noexec'),
});

function sizeOf(words: Words, destination: string): number | undefined {
  const text = words.data.get('size');
  if (text === undefined) return undefined;
  const size = parseBytes(text);
  if (size === undefined) throw new InvalidArgumentError(`mounts[${destination}].options`, 'a size such as size=64m', text);
  return size;
}

function bindOf(mount: OciMount, words: Words): Mount {
  if (mount.source === undefined)
    throw new InvalidArgumentError(`mounts[${mount.destination}].source`, 'given for a bind mount', mount.source);
  const propagation = PROPAGATION.find((p) => words.flags.has(p) || words.flags.has(`r${p}`)) ?? 'private';
  return {
    type: 'bind',
    source: mount.source,
    target: mount.destination,
    recursive: words.flags.has('rbind'),
    propagation,
    ...flagsOf(words),
    ...furtherWords(mount),
  };
}

/** What the launcher reads itself; nothing for most mounts. */
function furtherWords({ options = [], type }: OciMount): { options?: string[] } {
  const data = type === 'tmpfs' ? TMPFS_DATA : type === 'proc' ? ['hidepid', 'subset', 'gid'] : [];
  const further = options.filter((o) => FURTHER.includes(o) || data.includes(o.split('=', 1)[0] as string));
  return further.length === 0 ? {} : { options: further };
}

function tmpfsOf(mount: OciMount, words: Words): Mount {
  const size = sizeOf(words, mount.destination);
  const mode = words.data.get('mode');
  return {
    type: 'tmpfs',
    target: mount.destination,
    ...(size === undefined ? {} : { size }),
    ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
    ...flagsOf(words),
    ...furtherWords(mount),
  };
}

/** The type that OCI leaves out for binds. */
function typeOf(mount: OciMount, words: Words): string {
  return words.flags.has('bind') || words.flags.has('rbind') ? 'bind' : (mount.type ?? 'bind');
}

const known = new WeakMap<OciMount, Mount>();

/** One OCI mount as the launcher takes it. A frozen one, which cannot change, is looked at once. */
export function toLauncherMount(mount: OciMount): Mount {
  const before = known.get(mount);
  if (before !== undefined) return before;
  const result = launcherMountOf(mount);
  if (Object.isFrozen(mount)) known.set(mount, result);
  return result;
}

/** A tmpfs on /dev is the container's own /dev with OCI's default devices. */
function launcherMountOf(mount: OciMount): Mount {
  const words = splitWords(mount.options ?? []);
  if (words.flags.has('remount')) {
    const options = (mount.options ?? []).filter((o) => !['remount', 'bind', 'rbind'].includes(o));
    return { type: 'remount', target: mount.destination, options };
  }
  const type = typeOf(mount, words);
  refuseUnknownWords(type, words, mount.destination);
  if (type === 'bind') return bindOf(mount, words);
  if (type === 'tmpfs') return mount.destination === '/dev' ? { type: 'dev', target: '/dev' } : tmpfsOf(mount, words);
  return { type: type as 'proc', target: mount.destination, ...flagsOf(words), ...furtherWords(mount) };
}
