// What this host is like, read once: kinds of the well-known /proc and /sys paths, whether nodes can be made.
import { lstatSync } from 'node:fs';

const kinds = new Map<string, 'file' | 'directory' | undefined>();

/**
 * The kind of a path below /proc or /sys. A container's own procfs has the same global files, so the host's
 * answer saves the container three system calls for each masked path.
 */
export function kernelPathKind(path: string): 'file' | 'directory' | undefined {
  if (!kinds.has(path)) {
    const s = lstatSync(path, { throwIfNoEntry: false });
    kinds.set(path, s === undefined ? undefined : s.isDirectory() ? 'directory' : 'file');
  }
  return kinds.get(path);
}

export const isKernelPath = (path: string): boolean => /^\/(proc|sys)\//.test(path);
