// Where a container's changes go: memory, or a folder of the session on disk that ends with the container.
import { mkdir } from 'node:fs/promises';
import { syscallErrorFrom } from '@ctr/internal/errors';
import { named, type Step } from '@ctr/internal/steps';
import { describeMakeUpper, describeRemoveUpper, type RootFacts } from '@ctr/overlayfs';
import { openDefaultStore } from './default-store.js';
import type { RunSpec } from './options/run-schema.js';
import { removeTreeStep } from './session/record.js';
import type { Session } from './session/session.js';

export interface WritableLayer {
  readonly upper: 'memory' | { readonly directory: string };
  readonly prepare: readonly Step[];
  readonly cleanup: readonly Step[];
}

export const isOnDisk = (spec: RunSpec, session: Session): boolean =>
  (spec.writable ?? (session.host.memoryUpper ? 'memory' : 'disk')) === 'disk';

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

/** Makes the session's folder before the first layer in it. */
export async function prepareWritableLayer(spec: RunSpec, session: Session): Promise<void> {
  if (!isOnDisk(spec, session)) return;
  const making = made.get(session) ?? makeFolder(session);
  made.set(session, making);
  making.catch(() => made.delete(session));
  await making;
}

/** The layer of one container as steps; with `root`, the owner and mode of its /, all that the overlay needs is made ahead. */
export function describeWritableLayer(spec: RunSpec, session: Session, id: string, root?: RootFacts): WritableLayer {
  if (!isOnDisk(spec, session)) return { upper: 'memory', prepare: [], cleanup: [] };
  const directory = `${session.uppers}/${id}`;
  const own: Step = {
    call: 'mkdirat',
    args: [named(-100, 'AT_FDCWD'), directory, named(0o700, '0700')],
    doing: 'make the writable layer',
  };
  return {
    upper: { directory },
    prepare: root === undefined ? [own] : describeMakeUpper(directory, root),
    cleanup: describeRemoveUpper(directory, [removeTreeStep(directory, 'remove the writable layer')]),
  };
}
