// Everything that can be seen of a tree, entry by entry: what two ways of unpacking an image must agree on.
import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { native } from '../src/native.js';

/** Path -> mode, owner, time to the second, attributes, link group, and content as a hash, a target or a device number. */
export async function treeFacts(root: string): Promise<Map<string, string>> {
  const out = new Map<string, string>();
  const firstOf = new Map<string, string>();
  const fd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const pending = [''];
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      const [self, ...entries] = await native().scanDirectory(fd, Buffer.from(at, 'latin1'));
      if (at === '' && self !== undefined) out.set('/', `${self.mode.toString(8)} ${self.uid}:${self.gid}`);
      for (const e of entries) {
        const name = at === '' ? e.name.toString('latin1') : `${at}/${e.name.toString('latin1')}`;
        const type = e.mode & constants.S_IFMT;
        if (type === constants.S_IFDIR) pending.push(name);
        let content = '';
        if (type === constants.S_IFREG) {
          const file = await native().openFileBelow(fd, Buffer.from(name, 'latin1'));
          content = createHash('sha256').update(readFileSync(file)).digest('hex');
          native().close(file);
        } else if (type === constants.S_IFLNK) content = e.target?.toString('latin1') ?? '';
        else if (type === constants.S_IFCHR || type === constants.S_IFBLK) content = `${e.major}:${e.minor}`;
        const first = firstOf.get(e.inode) ?? name;
        if (type !== constants.S_IFDIR) firstOf.set(e.inode, first);
        // overlayfs shows none of its own attributes; they do differ between an upper layer and a tree that was never one.
        const xattrs = Object.entries(e.xattrs).map(([key, value]) => `${key}=${value.toString('hex')}`);
        out.set(name, [e.mode.toString(8), `${e.uid}:${e.gid}`, e.mtime, first === name ? '' : `=${first}`, content, ...xattrs].join(' '));
      }
    }
  } finally {
    closeSync(fd);
  }
  return out;
}

/** The lines in which two trees differ; empty when they are equal. */
export function differences(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  const names = [...new Set([...a.keys(), ...b.keys()])].sort();
  return names.filter((n) => a.get(n) !== b.get(n)).map((n) => `${n}: ${a.get(n) ?? '(absent)'} | ${b.get(n) ?? '(absent)'}`);
}
