// Where a container's changes go: memory, or a folder of the session on disk that ends with the container.
import { mkdir } from 'node:fs/promises';
import { syscallErrorFrom, UnsupportedError } from '@ctr/internal/errors';
import { named, type Step } from '@ctr/internal/steps';
import {
  chooseUpperLimit,
  describeMakeUpper,
  describeRemoveUpper,
  makeSizedUpper,
  type OverlayOptions,
  type RootFacts,
  type SizedUpper,
} from '@ctr/overlayfs';
import { openDefaultStore } from './default-store.js';
import type { RunSpec } from './options/run-schema.js';
import { removeTreeStep } from './session/record.js';
import type { Session } from './session/session.js';

export interface WritableLayer {
  readonly upper: Exclude<OverlayOptions['upper'], undefined>;
  /** Of a layer in memory. */
  readonly size?: number | undefined;
  readonly prepare: readonly Step[];
  readonly cleanup: readonly Step[];
}

const wanted = ({ writable }: RunSpec): { on?: 'memory' | 'disk' | undefined; size?: number | undefined } =>
  typeof writable === 'string' ? { on: writable } : (writable ?? {});

export const isOnDisk = (spec: RunSpec, session: Session): boolean =>
  (wanted(spec).on ?? (session.host.memoryUpper ? 'memory' : 'disk')) === 'disk';

/** Bytes that the layer may hold, on disk: then it is one of its kind, made for one container. */
export const sizeOnDisk = (spec: RunSpec, session: Session): number | undefined =>
  isOnDisk(spec, session) ? wanted(spec).size : undefined;

/** In a user namespace that the caller joins nothing of a device can be mounted. */
function joinsUser(spec: RunSpec): boolean {
  const place = spec.namespaces?.get('user') ?? 'host';
  return place !== 'new' && place !== 'host';
}

/** @throws UnsupportedError before anything is made, where this host cannot limit the size of a layer on disk. */
export async function checkWritableLayer(spec: RunSpec, session: Session): Promise<void> {
  if (sizeOnDisk(spec, session) === undefined) return;
  const { by, requires } = await chooseUpperLimit(session.uppers);
  const lacks = by === 'loop' && joinsUser(spec) ? 'project quota, in a user namespace that is joined' : requires;
  if (lacks === undefined) return;
  throw new UnsupportedError('a size limit of a writable layer on disk', lacks, undefined, {
    hint: 'limit it in memory, which needs nothing: writable: { on: "memory", size: … }',
  });
}

const made = new WeakMap<Session, Promise<unknown>>();

async function makeFolder(session: Session): Promise<void> {
  // The store makes the folder above what it should be: private, and recognisable.
  await openDefaultStore();
  try {
    await mkdir(session.uppers, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw syscallErrorFrom(error, 'make the folder of the writable layers', {
      hint: 'use writable: "memory", or name another disk in CTR_ROOT',
    });
  }
}

/** The session's folder, made before the first layer in it. */
export async function layersFolder(session: Session): Promise<string> {
  const making = made.get(session) ?? makeFolder(session);
  made.set(session, making);
  making.catch(() => made.delete(session));
  await making;
  return session.uppers;
}

export async function prepareWritableLayer(spec: RunSpec, session: Session): Promise<void> {
  if (isOnDisk(spec, session)) await layersFolder(session);
}

/** The layer with its limit; made by this process, in the session's folder, which the session's end removes whatever happens. */
export async function openSizedLayer(spec: RunSpec, session: Session, id: string): Promise<SizedUpper | undefined> {
  const size = sizeOnDisk(spec, session);
  return size === undefined ? undefined : makeSizedUpper(`${session.uppers}/${id}`, { size });
}

interface LayerFacts {
  readonly id: string;
  /** Owner and mode of its /: then all that the overlay needs is made ahead. */
  readonly root?: RootFacts | undefined;
  readonly sized?: SizedUpper | undefined;
}

/** The layer of one container as steps. */
export function describeWritableLayer(spec: RunSpec, session: Session, { id, root, sized }: LayerFacts): WritableLayer {
  if (!isOnDisk(spec, session)) return { upper: 'memory', size: wanted(spec).size, prepare: [], cleanup: [] };
  const directory = `${session.uppers}/${id}`;
  const remove = removeTreeStep(directory, 'remove the writable layer');
  if (sized !== undefined) return { upper: sized.upper, prepare: [], cleanup: [remove] };
  const own: Step = {
    call: 'mkdirat',
    args: [named(-100, 'AT_FDCWD'), directory, named(0o700, '0700')],
    doing: 'make the writable layer',
  };
  return {
    upper: { directory },
    prepare: root === undefined ? [own] : describeMakeUpper(directory, root),
    cleanup: describeRemoveUpper(directory, [remove]),
  };
}
