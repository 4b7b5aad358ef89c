// Which entries of an image's layers are seen in the end, and under which names. First of two passes: it reads headers only.
//
// Layers come bottom first. A later entry replaces an earlier one of its name; a whiteout takes away what lower layers have, never
// what its own layer has, wherever it stands in the archive. SPEC(layer#applying-changesets)
import { ImageError } from '@ctr/internal/errors';
import { badTar, normalizePath } from '../tar/parse.js';
import type { TarMember } from '../tar/read.js';

/** A file, link, device or directory of some layer, with all the names it has in the end. */
export interface Inode {
  layer: number;
  /** Place of the entry in its layer's archive. */
  index: number;
  type: string;
  target: string;
  paths: string[];
}

interface Node {
  inode: Inode | undefined;
  /** The layer that put the inode here. */
  layer: number;
  children: Map<string, Node>;
}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** Names in all layers together; each costs some 300 bytes of memory. */
const MAX_NAMES = 2_000_000;
/** Symbolic links on the way to one name: the kernel's own bound. */
const MAX_LINKS = 40;

const newNode = (): Node => ({ inode: undefined, layer: -1, children: new Map() });

/** The tree of names, filled layer by layer. */
export class FlattenPlan {
  readonly #root = newNode();
  #layer = -1;
  #index = 0;
  #names = 0;

  /** The following entries belong to the next layer up. */
  beginLayer(): void {
    this.#layer++;
    this.#index = 0;
  }

  add(member: Pick<TarMember, 'path' | 'type' | 'target'>): void {
    const index = this.#index++;
    const path = normalizePath(member.path);
    if (path === undefined) throw badTar('a name leads out of it');
    const parts = path === '' ? [] : path.split('/');
    const base = parts.at(-1) ?? '';
    if (base === OPAQUE) this.#hideBelow(this.#locate(parts.slice(0, -1)));
    else if (base.startsWith(WHITEOUT)) this.#whiteOut(parts, base.slice(WHITEOUT.length));
    else this.#put(parts, { layer: this.#layer, index, type: member.type, target: member.target, paths: [] });
  }

  /** What is seen in the end, by layer and index; the first path of each is where its content goes. */
  finish(): Map<number, Inode>[] {
    const seen: Map<number, Inode>[] = Array.from({ length: this.#layer + 1 }, () => new Map());
    const visit = (node: Node, path: string): void => {
      const { inode } = node;
      if (inode !== undefined) {
        inode.paths.push(path);
        seen[inode.layer]?.set(inode.index, inode);
      }
      for (const [name, child] of node.children) visit(child, path === '' ? name : `${path}/${name}`);
    };
    visit(this.#root, '');
    return seen;
  }

  #put(parts: string[], inode: Inode): void {
    const node = parts.length === 0 ? this.#root : this.#child(this.#locate(parts.slice(0, -1)), parts.at(-1) as string);
    if (inode.type === '1') {
      node.inode = this.#linked(inode.target);
    } else node.inode = inode;
    node.layer = this.#layer;
    if (node.inode.type !== '5') node.children = new Map();
  }

  #linked(target: string): Inode {
    const path = normalizePath(target);
    const parts = path?.split('/') ?? [];
    const found = path ? this.#child(this.#locate(parts.slice(0, -1)), parts.at(-1) as string).inode : undefined;
    if (found === undefined || found.type === '5') throw badTar('a hard link names nothing that came before it');
    return found;
  }

  /** Only lower layers lose what it names; a name that could lead elsewhere names nothing (boxlite's case, L-20). */
  #whiteOut(parts: string[], name: string): void {
    if (name === '' || name === '.' || name === '..' || name.startsWith(WHITEOUT)) return;
    const node = this.#locate(parts.slice(0, -1)).children.get(name);
    if (node === undefined) return;
    if (node.layer < this.#layer) node.inode = undefined;
    this.#hideBelow(node);
  }

  #hideBelow(node: Node): void {
    for (const [name, child] of node.children) {
      this.#hideBelow(child);
      if (child.layer < this.#layer) child.inode = undefined;
      if (child.inode === undefined && child.children.size === 0) node.children.delete(name);
    }
  }

  /**
   * The directory of a name. A symbolic link of the same layer is followed within the tree, as unpacking that layer would; anything
   * else that is no directory and comes from below is hidden by the directory that this layer needs there.
   */
  #locate(parts: readonly string[]): Node {
    const trail = [this.#root];
    const rest = [...parts].reverse();
    for (let links = 0; rest.length > 0; ) {
      const part = rest.pop() as string;
      if (part === '' || part === '.') continue;
      if (part === '..') {
        if (trail.length > 1) trail.pop();
        continue;
      }
      const node = this.#child(trail.at(-1) as Node, part);
      if (node.inode?.type === '2' && node.layer === this.#layer) {
        if (++links > MAX_LINKS) throw badTar('symbolic links lead in a circle');
        if (node.inode.target.startsWith('/')) trail.length = 1;
        rest.push(...node.inode.target.split('/').reverse());
        continue;
      }
      if (node.inode !== undefined && node.inode.type !== '5') node.inode = undefined;
      trail.push(node);
    }
    return trail.at(-1) as Node;
  }

  #child(parent: Node, name: string): Node {
    const known = parent.children.get(name);
    if (known !== undefined) return known;
    if (++this.#names > MAX_NAMES) throw new ImageError('CTR_IMAGE_LIMIT', `the image has more than ${MAX_NAMES} names`);
    const made = newNode();
    parent.children.set(name, made);
    return made;
  }
}
