// A lock between processes for short work on index.json, without kernel locks (Node offers none).
//
// The lock is a symbolic link whose target names its owner: symlink(2) makes it and its content in one step and fails when it is
// there, so there is no moment in which a lock exists without an owner. A lock whose owner is certainly dead (see owner.ts) is
// broken under a second lock that is named after the dead owner: of several that find it only one removes it, and that one looks
// again first. An owner's name never comes back (it holds random bytes), so a late breaker finds another name and does nothing.
import { randomBytes } from 'node:crypto';
import { readlink, symlink, unlink } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ImageError } from '@ctr/internal/errors';
import { isMissing } from './files.js';
import { isAlive, ownerToken } from './owner.js';

/** Callers of one process queue here instead of polling each other. */
const queues = new Map<string, Promise<unknown>>();

/** Runs `work` while holding the lock `name` in `directory`; waits up to a minute for it. */
export function withLock<T>(directory: string, name: string, work: () => Promise<T>, timeoutMs = 60_000): Promise<T> {
  const file = path.join(directory, name);
  const before = queues.get(file) ?? Promise.resolve();
  const turn = before.then(async () => {
    await acquire(directory, name, performance.now() + timeoutMs);
    try {
      return await work();
    } finally {
      await unlink(file);
    }
  });
  const settled = turn.catch(() => undefined);
  queues.set(file, settled);
  void settled.then(() => queues.get(file) === settled && queues.delete(file));
  return turn;
}

async function acquire(directory: string, name: string, deadline: number): Promise<void> {
  const file = path.join(directory, name);
  const token = `${ownerToken()}.${randomBytes(6).toString('hex')}`;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    const holder = await tryAcquire(file, token);
    if (holder === undefined) return;
    if (!isAlive(ownerOf(holder))) {
      await breakLock(directory, name, holder, deadline);
      continue;
    }
    if (performance.now() > deadline) throw busy(file, holder);
    await sleep(pause * (0.5 + Math.random()));
  }
}

/** Undefined when we hold it now, else who does. */
async function tryAcquire(file: string, token: string): Promise<string | undefined> {
  for (;;) {
    try {
      await symlink(token, file);
      return undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = await readlink(file).catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (holder !== undefined) return holder;
  }
}

const ownerOf = (token: string): string => token.slice(0, token.indexOf('.'));

async function breakLock(directory: string, name: string, dead: string, deadline: number): Promise<void> {
  const breaker = `break.${dead}`;
  await acquire(directory, breaker, deadline);
  try {
    const now = await readlink(path.join(directory, name)).catch(() => undefined);
    if (now === dead) await unlink(path.join(directory, name));
  } finally {
    await unlink(path.join(directory, breaker));
  }
}

function busy(file: string, holder: string): ImageError {
  const pid = holder.split('-')[2];
  return new ImageError(
    'CTR_IMAGE_LIMIT',
    `wait for the lock of the image store ${path.dirname(path.dirname(file))}: process ${pid} holds it`,
    undefined,
    {
      hint: `process ${pid} works on the store and does not end: look whether it is stopped`,
    },
  );
}
