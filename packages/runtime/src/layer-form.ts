// In which form the layers of images lie on this host, and what of them overlayfs takes.
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import type { ImageStore, LayerSink } from '@ctr/image';
import { chooseLayerForm, describeParents, LayerMounts, layerSink, mountParents, type RootFacts, writeParents } from '@ctr/overlayfs';
import type { HostFacts } from './oci/host-facts.js';
import type { RunSpec } from './options/run-schema.js';
import { atLeast } from './session/host-facts.js';

/** How layers are written, and how they become lower layers. */
export interface LayerPlan {
  readonly sink: LayerSink;
  /** From the directories of the store, top first. */
  lower(directories: readonly string[]): Promise<LowerLayers>;
}

export interface LowerLayers {
  /** Paths by which whoever makes a container opens the layers, top first. */
  readonly layers: readonly string[];
  /** Mode and owner of the image's root directory. */
  readonly root: RootFacts;
}

/** Without root every file on disk is this user's own, whose id is 0 inside. */
const insideId = (id: number, own: number | undefined): number => (id === own ? 0 : id);

/** A folder for what a session adds to the layers of the store; it goes with the session. */
export type LayerFolder = () => Promise<string>;

/** Directories that archives left out are set right by a layer of their own, on disk as the others. */
async function treeLayers(directories: readonly string[], userxattr: boolean, folder: LayerFolder): Promise<LowerLayers> {
  const parents = await describeParents(directories);
  const { root } = parents;
  const [uid, gid] = [insideId(root.uid, process.geteuid?.()), insideId(root.gid, process.getegid?.())];
  const own = { ...root, uid, gid };
  if (parents.directories.length === 0) return { layers: directories, root: own };
  const layer = path.join(await folder(), `parents-${randomUUID()}`);
  await writeParents(layer, parents, { userxattr });
  return { layers: [layer, ...directories], root: own };
}

/** Trees with the attributes that a user namespace may use, where one is needed. */
function treePlan(userxattr: boolean, folder: LayerFolder): LayerPlan {
  return { sink: layerSink({ userxattr }), lower: (directories) => treeLayers(directories, userxattr, folder) };
}

/** Of this process, for as long as it lives: its containers share their memory. */
const mounts = new LayerMounts();

/** Directories that archives left out are set right by a layer of their own, which lives as long as the others. */
async function mountedLayers(directories: readonly string[]): Promise<LowerLayers> {
  const layers = await mounts.paths(directories);
  const parents = await describeParents(layers);
  if (parents.directories.length === 0) return { layers, root: parents.root };
  return { layers: [mounts.keep(await mountParents(parents)), ...layers], root: parents.root };
}

const FILES: LayerPlan = {
  sink: layerSink({ form: 'erofs', userxattr: false }),
  // The containers' maker opens them as this process's descriptors: nothing is attached anywhere.
  lower: mountedLayers,
};

const fits = new WeakMap<ImageStore, Promise<boolean>>();

/** In a user namespace of its own: joined ones, and the host's, see layers as they are. */
function ownUser(spec: RunSpec): boolean {
  const place = spec.namespaces?.get('user') ?? 'host';
  return place !== 'host' || (spec.userns !== undefined && spec.userns !== 'host');
}

/**
 * Mounts of files are this process's, and root's: in a user namespace EROFS cannot be mounted. Its layers can be shown with the ids
 * of one from the kernel on that takes mounts which are attached to nothing.
 */
export async function planLayers(store: ImageStore, spec: RunSpec, host: HostFacts, folder: LayerFolder): Promise<LayerPlan> {
  if (!host.privileged || !host.initialUserNamespace) return treePlan(true, folder);
  if (ownUser(spec) && !atLeast([6, 15])) return treePlan(false, folder);
  const known = fits.get(store) ?? chooseLayerForm(store.root).then(({ form }) => form === 'erofs');
  fits.set(store, known);
  return (await known) ? FILES : treePlan(false, folder);
}
