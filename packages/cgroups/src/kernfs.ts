// Reading and writing the kernel's control files. Reads are synchronous: they touch no disk and wait for no lock that
// others hold long. What changes the tree takes cgroup_mutex, which others may hold for milliseconds: that is asynchronous.
import { closeSync, constants, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { mkdir, open, rmdir } from 'node:fs/promises';
import { syscallErrorFrom } from '@ctr/internal/errors';

const buffer = Buffer.allocUnsafe(64 * 1024);

/**
 * KERNEL: seq_file hands out as many whole records as its buffer of at least a page holds, so a read that is far shorter
 * than a page was the last: no need to hear of the end by another one.
 */
const SURELY_LAST = 2048;

/** The whole text of a control file. */
export function readControl(file: string): string {
  const fd = openSync(file, constants.O_RDONLY);
  try {
    let text = '';
    for (;;) {
      const n = readSync(fd, buffer, 0, buffer.length, null);
      text += buffer.toString('latin1', 0, n);
      if (n < SURELY_LAST) return text;
    }
  } finally {
    closeSync(fd);
  }
}

/** The file is not there, its cgroup is gone (ENODEV), or this kernel cannot say (EOPNOTSUPP). */
const ABSENT = new Set(['ENOENT', 'ENODEV', 'EOPNOTSUPP']);

export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code;

/** The text, or null when there is none to read. */
export function tryRead(file: string): string | null {
  try {
    return readControl(file);
  } catch (error) {
    if (ABSENT.has(codeOf(error) ?? '')) return null;
    throw syscallErrorFrom(error, `read ${file}`);
  }
}

/** One write(2) of the whole text, as the kernel wants it. Never creates the file. */
export async function writeControl(file: string, text: string): Promise<void> {
  const handle = await open(file, constants.O_WRONLY);
  try {
    await handle.write(text);
  } finally {
    await handle.close();
  }
}

/** Makes the directory; false when it was there. */
export async function makeDirectory(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, 0o755);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Removes the directory; one that is gone already is fine. */
export async function removeDirectory(directory: string): Promise<void> {
  try {
    await rmdir(directory);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Child cgroups. The link count of a kernfs directory is 2 and its subdirectories, so most have no need to be listed. */
export function childrenOf(directory: string): string[] {
  try {
    if (statSync(directory).nlink <= 2) return [];
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((e) => e.isDirectory()).map((e) => `${directory}/${e.name}`);
  } catch (error) {
    if (ABSENT.has(codeOf(error) ?? '')) return [];
    throw error;
  }
}

/** 'a b\n' -> ['a', 'b']. */
export const words = (text: string): string[] => text.split(/\s+/).filter((w) => w !== '');
