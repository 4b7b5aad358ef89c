// A folder as the entries of a layer.
import { lstatSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { TarEntry } from '@ctr/image';

/** Everything below a root of busybox, whose links all name it. */
export function entriesOf(folder: string, below = ''): TarEntry[] {
  return readdirSync(path.join(folder, below), { withFileTypes: true }).flatMap((e): TarEntry[] => {
    const name = path.join(below, e.name);
    if (e.isDirectory()) return [{ type: 'directory', path: name }, ...entriesOf(folder, name)];
    if (e.isSymbolicLink()) return [{ type: 'symlink', path: name, target: 'busybox' }];
    return [{ type: 'file', path: name, source: path.join(folder, name), mode: lstatSync(path.join(folder, name)).mode & 0o777 }];
  });
}
