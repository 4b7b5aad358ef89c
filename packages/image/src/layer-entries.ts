// What a layer does to the files below it, entry by entry: for looking, not for unpacking.
import type { ImageLayer } from './image.js';
import type { UnpackLimits } from './limits.js';
import type { Layout } from './store/layout.js';
import { openLayer } from './store/open-layer.js';
import { normalizePath } from './tar/parse.js';
import { readTar, type TarMember } from './tar/read.js';

/** One entry of a layer. */
export interface LayerEntry {
  /** Path without a leading `/`; `.` is the root. Of a whiteout: the path that it hides. */
  path: string;
  /**
   * `whiteout` hides what lower layers have under the path, `opaque` everything that they have below it. `other` is what the format
   * allows and no image needs.
   */
  type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo' | 'whiteout' | 'opaque' | 'other';
  /** Bytes of content; 0 for what has none. */
  size: number;
  mode: number;
  uid: number;
  gid: number;
  /** Seconds since 1970. */
  mtime: number;
  /** Of links; `undefined` for others. */
  target: string | undefined;
}

const TYPES: Record<string, LayerEntry['type']> = {
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

/** Entries in the order of the archive; blob and content are verified when the last one was read. */
export async function* layerEntries(
  layout: Layout,
  layer: ImageLayer,
  limits: Required<UnpackLimits>,
  signal: AbortSignal,
): AsyncGenerator<LayerEntry> {
  for await (const member of readTar(openLayer(layout, layer, limits, signal))) yield describe(member);
}

/** The reader gives bytes; people want text. */
const text = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');

function describe(member: TarMember): LayerEntry {
  const { mode, uid, gid, mtime } = member;
  const type = TYPES[member.type] ?? 'other';
  const full = normalizePath(text(member.path)) ?? text(member.path);
  const linked = type === 'symlink' || type === 'hardlink';
  return {
    ...unhide(full || '.', type),
    size: type === 'file' ? member.size : 0,
    mode,
    uid,
    gid,
    mtime,
    target: linked ? text(member.target) : undefined,
  };
}

/** `a/.wh.b` hides a/b, `a/.wh..wh..opq` all of a. */
function unhide(path: string, type: LayerEntry['type']): Pick<LayerEntry, 'path' | 'type'> {
  const slash = path.lastIndexOf('/');
  const [directory, base] = [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)];
  if (base === '.wh..wh..opq') return { path: directory || '.', type: 'opaque' };
  if (base.startsWith('.wh.') && !base.startsWith('.wh..wh.')) {
    const hidden = base.slice(4);
    return { path: directory === '' ? hidden : `${directory}/${hidden}`, type: 'whiteout' };
  }
  return { path, type };
}
