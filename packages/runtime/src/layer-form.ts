// In which form the layers of images lie on this host, and what of them overlayfs takes.
import type { ImageStore, LayerSink } from '@ctr/image';
import { chooseLayerForm, LayerMounts, openLayerWriter } from '@ctr/overlayfs';
import type { HostFacts } from './oci/host-facts.js';
import type { RunSpec } from './options/run-schema.js';

/** How layers are written, and how they become lower layers. */
export interface LayerPlan {
  readonly sink: LayerSink;
  /** From the directories of the store, top first. */
  lower(directories: readonly string[]): Promise<string[]>;
}

/** Trees with the attributes that a user namespace may use, where one is needed. */
function treePlan(userxattr: boolean): LayerPlan {
  const open: LayerSink['open'] = (directory) => openLayerWriter(directory, { userxattr });
  return { sink: userxattr ? { form: 'user', open } : { open }, lower: async (directories) => [...directories] };
}

/** Of this process, for as long as it lives: its containers share their memory. */
const mounts = new LayerMounts();

const FILES: LayerPlan = {
  sink: { form: 'erofs', open: (directory) => openLayerWriter(directory, { form: 'erofs', userxattr: false }) },
  // The containers' maker opens them as this process's descriptors: nothing is attached anywhere.
  lower: (directories) => mounts.paths(directories),
};

const fits = new WeakMap<ImageStore, Promise<boolean>>();

/** A mount of a file is of no use in a user namespace, where EROFS cannot be mounted and mounts of others are no layers. */
export async function planLayers(store: ImageStore, spec: RunSpec, host: HostFacts): Promise<LayerPlan> {
  if (!host.privileged || !host.initialUserNamespace) return treePlan(true);
  const ownUser = spec.userns !== undefined && spec.userns !== 'host';
  if (ownUser || (spec.namespaces?.get('user') ?? 'host') !== 'host') return treePlan(false);
  const known = fits.get(store) ?? chooseLayerForm(store.root).then(({ form }) => form === 'erofs');
  fits.set(store, known);
  return (await known) ? FILES : treePlan(false);
}
