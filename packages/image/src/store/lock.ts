// A lock between processes for short work on index.json, without kernel locks (Node offers none).
//
// The lock is a symbolic link whose target names its owner: symlink(2) makes it and its content in one step and fails when it is
// there, so there is no moment in which a lock exists without an owner. A lock whose owner is certainly dead (see owner.ts) is
// broken under a second lock that is named after the dead owner: of several that find it only one removes it, and that one looks
// again first. An owner's name never comes back (it holds random bytes), so a late breaker finds another name and does nothing.
//
// The pid of an owner in another pid namespace says nothing here. So whoever holds a lock for long renews its time, and a lock of an owner
// out of sight whose time stands still while we look is broken. Our own clock counts the looking, which stands still while the machine sleeps.
import { randomBytes } from 'node:crypto';
import { lstat, lutimes, readlink, symlink, unlink } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ImageError } from '@ctr/internal/errors';
import { isMissing } from './files.js';
import { judge, ownerToken } from './owner.js';

/** Callers of one process queue here instead of polling each other. */
const queues = new Map<string, Promise<unknown>>();

export interface Patience {
  /** How long to wait for the lock. */
  timeoutMs: number;
  /** How long the lock of an owner out of sight must stand still to be broken. */
  staleMs: number;
  /** How often its holder renews it. */
  beatMs: number;
}

const PATIENCE: Patience = { timeoutMs: 60_000, staleMs: 15_000, beatMs: 1000 };

/** Runs `work` while holding the lock `name` in `directory`; waits up to a minute for it. */
export function withLock<T>(directory: string, name: string, work: () => Promise<T>, patience: Partial<Patience> = {}): Promise<T> {
  const file = path.join(directory, name);
  const wait = { ...PATIENCE, ...patience };
  const before = queues.get(file) ?? Promise.resolve();
  const turn = before.then(() => whileHeld(directory, name, work, wait));
  const settled = turn.catch(() => undefined);
  queues.set(file, settled);
  void settled.then(() => queues.get(file) === settled && queues.delete(file));
  return turn;
}

async function whileHeld<T>(directory: string, name: string, work: () => Promise<T>, wait: Patience): Promise<T> {
  const file = path.join(directory, name);
  const token = await acquire(directory, name, { ...wait, deadline: performance.now() + wait.timeoutMs });
  const since = performance.now();
  const beat = setInterval(() => void renew(file), wait.beatMs).unref();
  try {
    return await work();
  } finally {
    clearInterval(beat);
    // Held for so long, it may have been broken and be another's by now.
    const ours = performance.now() - since < wait.staleMs / 2 || (await readlink(file).catch(() => undefined)) === token;
    if (ours) await unlink(file);
  }
}

const renew = (file: string): Promise<void> => lutimes(file, new Date(), new Date()).catch(() => undefined);

type Waiting = Patience & { deadline: number };

/** Returns the name under which it is held. */
async function acquire(directory: string, name: string, wait: Waiting): Promise<string> {
  const file = path.join(directory, name);
  const token = `${ownerToken()}.${randomBytes(6).toString('hex')}`;
  const watch = new Watch(file, wait.staleMs);
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    const holder = await tryAcquire(file, token);
    if (holder === undefined) return token;
    const verdict = judge(ownerOf(holder));
    if (verdict === 'dead' || (verdict === 'out of sight' && (await watch.standsStill(holder)))) {
      await breakLock(directory, name, holder, wait);
      continue;
    }
    if (performance.now() > wait.deadline) throw busy(file, holder);
    await sleep(pause * (0.5 + Math.random()));
  }
}

/** Looks whether anybody renews a lock. */
class Watch {
  readonly #file: string;
  readonly #staleMs: number;
  #seen = '';
  #since = 0;

  constructor(file: string, staleMs: number) {
    this.#file = file;
    this.#staleMs = staleMs;
  }

  /** True once the same lock was seen at the same time of change for long enough. */
  async standsStill(holder: string): Promise<boolean> {
    const stat = await lstat(this.#file, { bigint: true }).catch(() => undefined);
    const now = `${holder} ${stat?.mtimeNs}`;
    if (now !== this.#seen) {
      this.#seen = now;
      this.#since = performance.now();
    }
    return performance.now() - this.#since > this.#staleMs;
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

async function breakLock(directory: string, name: string, dead: string, wait: Waiting): Promise<void> {
  const breaker = `break.${dead}`;
  await acquire(directory, breaker, wait);
  try {
    const now = await readlink(path.join(directory, name)).catch(() => undefined);
    if (now === dead) await unlink(path.join(directory, name));
  } finally {
    await unlink(path.join(directory, breaker));
  }
}

function busy(file: string, holder: string): ImageError {
  const [, namespace, pid] = holder.split('-');
  const seen = judge(ownerOf(holder)) === 'alive';
  return new ImageError(
    'CTR_IMAGE_LIMIT',
    `wait for the lock of the image store ${path.dirname(path.dirname(file))}: ${seen ? `process ${pid}` : `process ${pid} of the pid namespace ${namespace}`} holds it`,
    undefined,
    {
      hint: seen
        ? `process ${pid} works on the store and does not end: look whether it is stopped`
        : `another container or pid namespace works on the store and does not end; when nobody does, remove ${file}`,
    },
  );
}
