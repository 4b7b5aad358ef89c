// From an image or a folder to read-only layers and what the image says about running it. What was found out once for
// an image is kept: a second start of it reads nothing.
import { lstatSync } from 'node:fs';
import type { Image, ImageConfig, ImageStore } from '@ctr/image';
import { hold } from '@ctr/namespaces';
import { type DescribedRoot, describeOverlay, type RootFacts, readFileInRoot } from '@ctr/overlayfs';
import type { Origin } from './changes.js';
import { openDefaultStore } from './default-store.js';
import { withStoreHint } from './hints.js';
import { type LayerPlan, type LowerLayers, planLayers } from './layer-form.js';
import { pullOptionsOf } from './options/pull-schema.js';
import type { RunSpec } from './options/run-schema.js';
import { removeFileStep } from './session/record.js';
import type { Session } from './session/session.js';
import { type ResolvedUser, resolveUser } from './user/resolve-user.js';
import { layersFolder } from './writable-layer.js';

export interface PreparedRoot {
  /** Top first. */
  readonly layers: readonly string[];
  /** Mode and owner of the root directory. */
  readonly facts: RootFacts;
  readonly image: ImageConfig | undefined;
  readonly origin: Origin | undefined;
  /** 'debian:12', or the folder. */
  readonly label: string;
  /** Looks up a user in this root, once for each text. */
  user(user: RunSpec['user']): Promise<ResolvedUser>;
  /** The overlay with its writable layer in memory, for all containers of this root: equal steps are encoded once. */
  inMemory(userxattr: boolean, size?: number): DescribedRoot;
}

/** An image of which a file is larger is not run: /etc/passwd of a real one has a few kilobytes (CVE-2026-47262). */
const MAX_USER_FILE = 2 ** 20;

/** Kinds of one root that are kept: sizes are the caller's, and may be any number. */
const MAX_OVERLAYS = 16;

function rootOf({ layers, root }: LowerLayers, origin: Origin | undefined, label: string): PreparedRoot {
  const image = origin?.image.config;
  const known = new Map<string, Promise<ResolvedUser>>();
  const read = (path: string): Promise<Buffer | null> => readFileInRoot(layers, path, { maxBytes: MAX_USER_FILE });
  const overlays = new Map<string, DescribedRoot>();
  return {
    layers,
    facts: root,
    image,
    origin,
    label,
    inMemory(userxattr, size) {
      const key = `${userxattr} ${size}`;
      const known = overlays.get(key);
      if (known !== undefined) return known;
      const overlay = describeOverlay({ lower: layers, upper: 'memory', size, userxattr, root });
      // Frozen, which tells the launcher that it may keep what it makes of them.
      const described: DescribedRoot = { ...overlay, steps: Object.freeze(overlay.steps) as typeof overlay.steps };
      if (overlays.size >= MAX_OVERLAYS) overlays.clear();
      overlays.set(key, described);
      return described;
    },
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

const unpacked = new WeakMap<ImageStore, Map<string, Promise<PreparedRoot>>>();

/**
 * Layers that a container runs on must outlive a gc() of another process. The lease lasts as long as this process, and
 * the monitor removes its file.
 */
async function keepLayers(store: ImageStore, image: Image): Promise<void> {
  const { file } = await store.lease(image);
  await hold({ doing: 'keep the layers of an image', prepare: [], cleanup: [removeFileStep(file, 'give up the layers of an image')] });
}

/** The lease first: what is found or unpacked after it stays. */
async function unpack(store: ImageStore, image: Image, plan: LayerPlan): Promise<PreparedRoot> {
  await keepLayers(store, image);
  return rootOf(await plan.lower(await store.unpack(image, plan.sink)), { store, image }, image.reference);
}

/** Each image is unpacked once, however many start at the same time. */
function unpackOnce(store: ImageStore, image: Image, plan: LayerPlan, session: Session): Promise<PreparedRoot> {
  const known = unpacked.get(store) ?? new Map<string, Promise<PreparedRoot>>();
  unpacked.set(store, known);
  // What a session adds to the layers ends with it.
  const key = `${session.nonce} ${plan.sink.form ?? ''} ${image.digest}`;
  let root = known.get(key);
  if (root === undefined) {
    root = unpack(store, image, plan);
    known.set(key, root);
    root.catch(() => known.delete(key));
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
  const plan = await planLayers(store, spec, session.host, () => layersFolder(session));
  if (typeof given !== 'string') return unpackOnce(store, given, plan, session);
  const image = await store.pull(given, {
    policy: spec.pull ?? 'missing',
    sink: plan.sink,
    ...(spec.platform === undefined ? {} : { platform: spec.platform }),
    ...pullOptionsOf(spec),
    ...(spec.signal === undefined ? {} : { signal: spec.signal }),
    ...(spec.onProgress === undefined ? {} : { onProgress: spec.onProgress }),
  });
  return unpackOnce(store, image, plan, session);
}

/**
 * What tells whether a folder's users are still those that were read; undefined when that cannot be told by looking at
 * the names alone. Three looks at cached inodes take microseconds, where one asynchronous call takes a tenth of a
 * millisecond of this thread. As a number a time is right to a quarter of a microsecond, and a change moves ctime by a tick.
 */
function usersVersion(folder: string): string | undefined {
  const facts = ['etc', 'etc/passwd', 'etc/group'].map((name) => lstatSync(`${folder}/${name}`, { throwIfNoEntry: false }));
  if (facts.some((f) => f?.isSymbolicLink())) return undefined;
  return facts.map((f) => (f === undefined ? '-' : `${f.dev}:${f.ino}:${f.size}:${f.mtimeMs}:${f.ctimeMs}`)).join(' ');
}

const folders = new Map<string, { readonly version: string; readonly root: PreparedRoot }>();
const MAX_FOLDERS = 64;

/** Kept only as long as its files of users stay the same: unlike an image, a folder may change between two starts. */
function fromFolder(rootfs: string): PreparedRoot {
  const folder = rootfs === 'host' ? '/' : rootfs;
  const version = usersVersion(folder);
  const known = folders.get(folder);
  if (known !== undefined && known.version === version) return known.root;
  const root = rootOf({ layers: [folder], root: {} }, undefined, rootfs === 'host' ? 'the machine’s own tree' : rootfs);
  if (folders.size >= MAX_FOLDERS) folders.clear();
  if (version !== undefined) folders.set(folder, { version, root });
  return root;
}

/** @throws {ImageError} when the image cannot be had; @throws {AbortError} when the caller's signal fires. */
export async function prepareRoot(spec: RunSpec, session: Session): Promise<PreparedRoot> {
  if (spec.rootfs !== undefined) return fromFolder(spec.rootfs);
  try {
    return await fromImage(spec, spec.image as string | Image, session);
  } catch (error) {
    throw withStoreHint(error);
  }
}
