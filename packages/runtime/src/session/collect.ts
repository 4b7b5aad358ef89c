// Removes what dead sessions left: empty cgroups and folders, never processes. The lock is the only proof of life;
// pids and times on disk prove nothing. Every step can be repeated, so a collector may die at any of them.
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, readFile, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { removeRangeTree, tryFlock } from '@ctr/namespaces';
import { removeTree } from '@ctr/overlayfs';
import { INTENT_FILE, LOCK_FILE, NONCE, parseIntent } from './record.js';

export interface CollectReport {
  /** Sessions whose remains were removed. */
  readonly removed: readonly string[];
  /** Sessions of which something could not be removed, and why; they are tried again the next time. */
  readonly kept: readonly { readonly nonce: string; readonly reason: string }[];
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** How long processes that were killed a moment ago may still be dying in a control group. */
const PATIENCE_MS = 5000;
const LONGEST_WAIT_MS = 100;

/** A directory of cgroupfs can only be removed empty of processes, and is busy until the last one is gone. */
async function removeWhenFree(directory: string): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (let wait = 1; ; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    try {
      return await unlessMissing(rmdir(directory));
    } catch (error) {
      if (codeOf(error) !== 'EBUSY' || performance.now() >= end) throw error;
    }
    // Nobody waits for the collector, and it keeps no program alive.
    await sleep(wait, undefined, { ref: false });
  }
}

/** A cgroup and those below it. */
async function removeCgroup(directory: string): Promise<void> {
  const entries = (await unlessMissing(readdir(directory, { withFileTypes: true }))) ?? [];
  for (const e of entries) if (e.isDirectory()) await removeCgroup(path.join(directory, e.name));
  await removeWhenFree(directory);
}

/** True when the open file is still the one that the path names: else another collector was faster. */
async function isStill(lock: FileHandle, file: string): Promise<boolean> {
  const [held, named] = await Promise.all([lock.stat(), unlessMissing(stat(file))]);
  return named !== undefined && held.ino === named.ino && held.dev === named.dev;
}

/** Of containers with an ordinary user's ranges most belongs to ids that he has in his user namespace only. */
async function removeUppers(directory: string): Promise<void> {
  try {
    await unlessMissing(removeTree(directory));
  } catch (error) {
    if (process.geteuid?.() === 0 || !['EACCES', 'EPERM'].includes(codeOf(error) ?? '')) throw error;
    await removeRangeTree(directory);
  }
}

async function removeRemains(directory: string, nonce: string, bootId: string): Promise<void> {
  const text = await unlessMissing(readFile(path.join(directory, INTENT_FILE), 'utf8'));
  const intent = text === undefined ? undefined : parseIntent(text, nonce);
  if (intent !== undefined) {
    if (intent.bootId === bootId) for (const cgroup of intent.cgroups) await removeCgroup(cgroup);
    await removeUppers(intent.uppers);
  }
  await unlessMissing(removeTree(directory));
}

/** 'alive' when somebody holds the lock. */
async function collectOne(directory: string, nonce: string, bootId: string): Promise<'removed' | 'alive'> {
  const file = path.join(directory, LOCK_FILE);
  const lock = await unlessMissing(open(file, constants.O_RDWR | constants.O_NOFOLLOW));
  if (lock === undefined) {
    // Its maker is about to lock it, or died before: removed only if there is nothing in it, and the maker then tries again.
    await unlessMissing(rmdir(directory));
    return 'removed';
  }
  try {
    if (!tryFlock(lock.fd) || !(await isStill(lock, file))) return 'alive';
    await removeRemains(directory, nonce, bootId);
    return 'removed';
  } finally {
    await lock.close();
  }
}

/** Looks through all records of a run root. Failures are told, not thrown: another session's remains are no reason not to start. */
export async function collect(runRoot: string, bootId: string, own: string): Promise<CollectReport> {
  const removed: string[] = [];
  const kept: { nonce: string; reason: string }[] = [];
  for (const nonce of await readdir(runRoot)) {
    if (!NONCE.test(nonce) || nonce === own) continue;
    try {
      if ((await collectOne(path.join(runRoot, nonce), nonce, bootId)) === 'removed') removed.push(nonce);
    } catch (error) {
      kept.push({ nonce, reason: (error as Error).message });
    }
  }
  return { removed, kept };
}
