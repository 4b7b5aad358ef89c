// Mounts: the caller's -> OCI's, and OCI's -> the launcher's, which reads OCI's list of words.
import { InvalidArgumentError } from '@ctr/internal/errors';
import type { Mount } from '@ctr/namespaces';
import type { RunSpec } from '../options/run-schema.js';
import type { OciMount } from './types.js';

type CallerMount = NonNullable<RunSpec['mounts']>[number];

function fromMount(mount: CallerMount): OciMount {
  if (mount.type === 'bind') {
    // With an r before it a word holds for all below, too: what is mounted there is no safer than the folder itself.
    const deep = mount.recursive === false ? '' : 'r';
    // An image's user must not gain the host's set-id programs or devices by way of a folder. Never 'rw': the host's read-only stays.
    const flags = ['nosuid', 'nodev', ...(mount.noexec ? ['noexec'] : []), ...(mount.readOnly ? ['ro'] : [])];
    const options = ['bind', mount.propagation ?? 'private', ...flags].map((word) => `${deep}${word}`);
    return { destination: mount.target, type: 'bind', source: mount.source, options };
  }
  const size = mount.size === undefined ? [] : [`size=${mount.size}`];
  const mode = `mode=${(mount.mode ?? 0o1777).toString(8).padStart(4, '0')}`;
  return {
    destination: mount.target,
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'nodev', ...(mount.noexec === false ? [] : ['noexec']), mode, ...size, mount.readOnly ? 'ro' : 'rw'],
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

const isBind = ({ options = [], type = 'bind' }: OciMount): boolean =>
  type === 'bind' || options.some((o) => o === 'bind' || o === 'rbind');

/**
 * Words that are a file system's own, which the kernel leaves out where one that is mounted already is shown again: mount(2), "Creating
 * a bind mount". All of them are about speed against safety of the data, none about what a container may do.
 */
const NOT_OF_A_BIND = ['sync', 'dirsync', 'lazytime', 'mand'];

function bindOf(mount: OciMount): Mount {
  const { source, destination: target, options = [] } = mount;
  if (source === undefined) throw new InvalidArgumentError(`mounts[${target}].source`, 'given for a bind mount', source);
  const words = options.filter((o) => !NOT_OF_A_BIND.includes(o));
  return { type: 'bind', source, target, recursive: false, ...(words.length === 0 ? {} : { options: words }) };
}

/** The specification has no defaults where the launcher has some: a word that is not there is not set. */
const BARE = { readOnly: false, nosuid: false, nodev: false, noexec: false };

/** OCI's name of a file system -> the launcher's kind that knows what it needs. */
const KINDS = { tmpfs: 'tmpfs', proc: 'proc', sysfs: 'sysfs', mqueue: 'mqueue', devpts: 'devpts', cgroup: 'cgroup' } as const;

const known = new WeakMap<OciMount, Mount>();

/** One OCI mount as the launcher takes it. A frozen one, which cannot change, is looked at once. */
export function toLauncherMount(mount: OciMount): Mount {
  const before = known.get(mount);
  if (before !== undefined) return before;
  const result = launcherMountOf(mount);
  if (Object.isFrozen(mount)) known.set(mount, result);
  return result;
}

/** The launcher reads the words. A tmpfs on /dev is the container's own /dev with OCI's default devices. */
function launcherMountOf(mount: OciMount): Mount {
  const { destination: target, options = [], source } = mount;
  if (options.includes('remount'))
    return { type: 'remount', target, options: options.filter((o) => !['remount', 'bind', 'rbind'].includes(o)) };
  if (isBind(mount)) return bindOf(mount);
  const type = mount.type as string;
  const words = options.length === 0 ? {} : { options };
  // Without 'exec' and 'suid' no program runs from there, whoever wrote it.
  if (type === 'tmpfs' && target.replace(/\/+$/, '') === '/dev') return { type: 'dev', target, ...words };
  if (Object.hasOwn(KINDS, type)) return { type: KINDS[type as keyof typeof KINDS], target, ...BARE, ...words };
  return { type: 'filesystem', fileSystem: type, target, ...BARE, ...words, ...(source === undefined ? {} : { source }) };
}
