// File operations that the store is made of: durable writes, verified names, errors that say what was being done.
import { constants } from 'node:fs';
import { chmod, type FileHandle, lstat, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import { syscallErrorFrom } from '@ctr/internal/errors';

const HINTS: Record<string, string> = {
  ENOSPC: 'the disk is full: free space on it, remove images and run gc(), or set CTR_ROOT to a directory on another disk',
  EDQUOT: 'the disk quota is used up: remove images and run gc(), or set CTR_ROOT to a directory elsewhere',
  EACCES: 'the store belongs to another user: set CTR_ROOT to a directory of your own',
  EPERM: 'the store belongs to another user: set CTR_ROOT to a directory of your own',
  EROFS: 'the store must be writable: set CTR_ROOT to a directory on a writable file system',
  EMFILE: 'this process has too many files open: raise its limit (ulimit -n)',
};

/** Adds to a file-system error what we were doing and how to cure it; other errors pass. */
export function storeError(error: unknown, doing: string): Error {
  const hint = HINTS[(error as NodeJS.ErrnoException)?.code ?? ''];
  return syscallErrorFrom(error, doing, hint === undefined ? {} : { hint });
}

export const isMissing = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException)?.code ?? '');

/** Makes a rename or unlink in this directory survive a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes a new file beside the others in `temp` and moves it to its name: readers see the old content or the new, never half of it. */
export async function replaceFile(temp: string, file: string, content: string | Uint8Array, durable: boolean): Promise<void> {
  const handle = await open(temp, 'wx', 0o600);
  try {
    try {
      await handle.writeFile(content);
      if (durable) await handle.datasync();
    } finally {
      await handle.close();
    }
    await rename(temp, file);
  } catch (error) {
    // What went wrong first is what is told.
    await unlink(temp).catch(() => {});
    throw error;
  }
  if (durable) await syncDirectory(path.dirname(file));
}

/** Opens a regular file for reading; a FIFO or device under that name must not block us or be read (L-28). */
export async function openRegular(file: string): Promise<{ handle: FileHandle; size: number }> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const stat = await handle.stat().catch(async (error: unknown) => {
    await handle.close();
    throw error;
  });
  if (stat.isFile()) return { handle, size: stat.size };
  await handle.close();
  throw Object.assign(new Error(`${file} is no regular file`), { code: 'EINVAL', errno: -22, syscall: 'open', path: file });
}

/**
 * Removes a tree that images filled: links are not followed, and directories whose owner took his own rights away are opened up
 * first. Only for trees below the store, where nobody else moves things about.
 */
export async function removeTree(directory: string): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!['EACCES', 'EPERM', 'ENOTEMPTY'].includes(code)) throw error;
    await openUp(directory);
    await rm(directory, { recursive: true, force: true });
  }
}

async function openUp(directory: string): Promise<void> {
  const stat = await lstat(directory);
  if (!stat.isDirectory()) return;
  await chmod(directory, 0o700);
  for (const entry of await readdir(directory, { withFileTypes: true }))
    if (entry.isDirectory()) await openUp(path.join(directory, entry.name));
}
