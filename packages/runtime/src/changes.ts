// What a container has changed of its root: Container.diff() and Container.commit().
import { openCgroup } from '@ctr/cgroups';
import type { CommitOptions, Image, ImageStore } from '@ctr/image';
import { InvalidArgumentError, UnsupportedError } from '@ctr/internal/errors';
import { type Change, type DiffOptions, diffUpper, gzipLayer, packUpper } from '@ctr/overlayfs';
import type { ContainerFacts } from './container.js';
import type { OciSpec } from './oci/types.js';
import type { ContainerInput } from './plan-container.js';
import { isOnDisk } from './writable-layer.js';

/** Options of {@link Container.commit}: those of `ImageStore.commit`, and `pause`. */
export interface ContainerCommitOptions extends Omit<CommitOptions, 'reference' | 'changes'> {
  /**
   * Whether its processes stand still meanwhile, so that the image is of one moment. Default: true where it has a control group, else
   * they go on.
   */
  pause?: boolean | undefined;
}

/** The writable layer on disk, and what it lies on. */
export interface ChangedLayer extends DiffOptions {
  readonly directory: string;
}

/** The image that a container was made from. */
export interface Origin {
  readonly store: ImageStore;
  readonly image: Image;
}

const WHAT = 'the changes of this container';

/** How the owners in the layer are read: as they are inside. */
function idsOf({ ids, session, spec }: ContainerInput): Pick<DiffOptions, 'ids' | 'lowerIds'> {
  if (session.host.privileged) {
    if (ids === undefined) return {};
    // Without mounts of mapped ids the caller has made the layers for these.
    return ids.mounts === undefined ? { ids: ids.idMaps, lowerIds: ids.idMaps } : { ids: ids.idMaps };
  }
  if (ids !== undefined)
    throw new UnsupportedError(
      WHAT,
      'root, or a container of this user’s id alone',
      'the files of its other users are not this user’s to read',
      {
        hint: 'give no user and no userns',
      },
    );
  const place = spec.namespaces?.get('user') ?? 'new';
  if (place === 'host' || spec.userns === 'host') return {};
  const own = (hostId: number) => [{ containerId: 0, hostId, size: 1 }];
  const maps = { uid: own(process.geteuid?.() ?? 0), gid: own(process.getegid?.() ?? 0) };
  return { ids: maps, lowerIds: maps };
}

/** @throws UnsupportedError for a layer that cannot be looked at from outside. */
export function changedLayer(input: ContainerInput, oci: OciSpec): ChangedLayer {
  const { id, spec, session, sized, root } = input;
  const hint = "give writable: 'disk'";
  if (!isOnDisk(spec, session))
    throw new UnsupportedError(WHAT, 'a writable layer on disk', 'it is in the container’s own memory', { hint });
  if (sized?.by === 'loop')
    throw new UnsupportedError(
      WHAT,
      'a writable layer without a size, or on a file system with project quota',
      'it is a device of its own',
      {
        hint,
      },
    );
  return { directory: `${session.uppers}/${id}`, lower: root.layers, except: oci.mounts.map((m) => m.destination), ...idsOf(input) };
}

const running = ({ process }: ContainerFacts): void => {
  if (process.ended) throw new UnsupportedError(WHAT, 'a running container', 'its writable layer has ended with it');
};

export async function* changesOf(facts: ContainerFacts, signal: AbortSignal | undefined): AsyncGenerator<Change> {
  running(facts);
  const { directory, ...options } = facts.changed();
  yield* diffUpper(directory, { ...options, signal });
}

/** Its processes stand still while `work` is done, where they can. */
async function paused<T>({ directories }: ContainerFacts, wanted: boolean | undefined, work: () => Promise<T>): Promise<T> {
  if (wanted === false) return work();
  if (Object.keys(directories).length === 0) {
    if (wanted === undefined) return work();
    throw new UnsupportedError('to pause a container', 'a control group, and this user may make none', undefined, {
      hint: 'give pause: false',
    });
  }
  const cgroup = openCgroup(directories);
  try {
    await cgroup.freeze();
    return await work();
  } finally {
    await cgroup.thaw();
  }
}

export async function commitContainer(facts: ContainerFacts, reference: string, options: ContainerCommitOptions): Promise<Image> {
  if (typeof options !== 'object' || options === null) throw new InvalidArgumentError('options', 'an object', options);
  const { pause, ...rest } = options;
  if (pause !== undefined && typeof pause !== 'boolean') throw new InvalidArgumentError('options.pause', 'true or false', pause);
  for (const key of ['changes', 'reference'])
    if (key in rest) throw new InvalidArgumentError(`options.${key}`, 'left out', (rest as Record<string, unknown>)[key]);
  running(facts);
  const { origin } = facts;
  if (origin === undefined)
    throw new UnsupportedError('to commit this container', 'one that was made from an image', `its root is ${facts.root}`, {
      hint: 'make an image of the folder first: ImageStore.import()',
    });
  const { directory, ...layer } = facts.changed();
  const { signal } = rest;
  const commit = () =>
    origin.store.commit(origin.image, {
      compressor: gzipLayer,
      ...rest,
      reference,
      changes: packUpper(directory, { ...layer, signal }),
    });
  return paused(facts, pause, commit);
}
