// From an image or a folder to read-only layers and what the image says about running it. What was found out once for
// an image is kept: a second start of it reads nothing.
import { type Image, type ImageConfig, ImageStore, type LayerSink } from '@ctr/image';
import { openLayerWriter, readFileInRoot } from '@ctr/overlayfs';
import type { RunSpec } from './options/run-schema.js';
import type { Session } from './session/session.js';
import { type ResolvedUser, resolveUser } from './user/resolve-user.js';

export interface PreparedRoot {
  /** Top first. */
  readonly layers: readonly string[];
  readonly image: ImageConfig | undefined;
  /** 'debian:12', or the folder. */
  readonly label: string;
  /** Looks up a user in this root, once for each text. */
  user(user: RunSpec['user']): Promise<ResolvedUser>;
}

/** An image of which a file is larger is not run: /etc/passwd of a real one has a few kilobytes (CVE-2026-47262). */
const MAX_USER_FILE = 2 ** 20;

function rootOf(layers: readonly string[], image: ImageConfig | undefined, label: string): PreparedRoot {
  const known = new Map<string, Promise<ResolvedUser>>();
  const read = (path: string): Promise<Buffer | null> => readFileInRoot([...layers], path, { maxBytes: MAX_USER_FILE });
  return {
    layers,
    image,
    label,
    user(user) {
      const wanted = user ?? image?.User ?? '';
      if (typeof wanted !== 'string') return resolveUser(wanted, read);
      let found = known.get(wanted);
      if (found === undefined) {
        found = resolveUser(wanted, read);
        known.set(wanted, found);
        found.catch(() => known.delete(wanted));
      }
      return found;
    },
  };
}

let defaultStore: Promise<ImageStore> | undefined;

function openDefaultStore(): Promise<ImageStore> {
  const opening = defaultStore ?? ImageStore.open();
  defaultStore = opening;
  opening.catch(() => {
    defaultStore = undefined;
  });
  return opening;
}

/** Layers are written in overlay's own form, with the attributes that a user namespace may use where one is needed. */
export function layerSink(session: Session): LayerSink {
  const userxattr = !(session.host.privileged && session.host.initialUserNamespace);
  return { open: (directory) => openLayerWriter(directory, { userxattr }) };
}

const unpacked = new WeakMap<ImageStore, Map<string, Promise<PreparedRoot>>>();

async function unpack(store: ImageStore, image: Image, sink: LayerSink): Promise<PreparedRoot> {
  return rootOf(await store.unpack(image, sink), image.config, image.reference);
}

/** Each image is unpacked once, however many start at the same time. */
function unpackOnce(store: ImageStore, image: Image, session: Session): Promise<PreparedRoot> {
  const known = unpacked.get(store) ?? new Map<string, Promise<PreparedRoot>>();
  unpacked.set(store, known);
  let root = known.get(image.digest);
  if (root === undefined) {
    root = unpack(store, image, layerSink(session));
    known.set(image.digest, root);
    root.catch(() => known.delete(image.digest));
  }
  return root;
}

/** After a failed start: what was remembered of the image may no longer be true. */
export async function forgetImage(spec: RunSpec): Promise<void> {
  if (spec.image === undefined) return;
  unpacked.delete(spec.store ?? (await openDefaultStore()));
}

async function fromImage(spec: RunSpec, given: string | Image, session: Session): Promise<PreparedRoot> {
  const store = spec.store ?? (await openDefaultStore());
  if (typeof given !== 'string') return unpackOnce(store, given, session);
  const image = await store.pull(given, {
    policy: spec.pull ?? 'missing',
    sink: layerSink(session),
    ...(spec.platform === undefined ? {} : { platform: spec.platform }),
    ...(spec.auth === undefined ? {} : { auth: spec.auth }),
    ...(spec.insecure === undefined ? {} : { insecure: spec.insecure }),
    ...(spec.signal === undefined ? {} : { signal: spec.signal }),
    ...(spec.onProgress === undefined ? {} : { onProgress: spec.onProgress }),
  });
  return unpackOnce(store, image, session);
}

/** Not remembered: unlike an image, a folder may change between two starts. */
const fromFolder = (rootfs: string): PreparedRoot => rootOf([rootfs === 'host' ? '/' : rootfs], undefined, rootfs);

/** @throws {ImageError} when the image cannot be had; @throws {AbortError} when the caller's signal fires. */
export async function prepareRoot(spec: RunSpec, session: Session): Promise<PreparedRoot> {
  if (spec.rootfs !== undefined) return fromFolder(spec.rootfs);
  return fromImage(spec, spec.image as string | Image, session);
}
