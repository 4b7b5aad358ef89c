// The files of an image as one archive: what a container of it would see, without the layers.
import type { Image } from '../image.js';
import type { UnpackLimits } from '../limits.js';
import type { Layout } from '../store/layout.js';
import { openLayer } from '../store/open-layer.js';
import { BLOCK, normalizePath } from '../tar/parse.js';
import { readTar, type TarMember } from '../tar/read.js';
import { rewrite } from '../tar/rewrite.js';
import { FlattenPlan, type Inode } from './plan.js';

export interface FlattenWork {
  layout: Layout;
  image: Image;
  limits: Required<UnpackLimits>;
  signal: AbortSignal;
}

/**
 * Two passes over the layers: the first learns what is seen in the end, the second passes those entries on, their headers unchanged
 * wherever their names are. Memory grows with the number of names, not with their content.
 */
export async function* flattenImage(work: FlattenWork): AsyncGenerator<Uint8Array> {
  const seen = await plan(work);
  for (const [i, layer] of work.image.layers.entries()) {
    const wanted = seen[i] as Map<number, Inode>;
    let index = 0;
    for await (const member of readTar(openLayer(work.layout, layer, work.limits, work.signal))) {
      const inode = wanted.get(index++);
      if (inode !== undefined) yield* emit(member, inode);
    }
  }
  yield new Uint8Array(2 * BLOCK);
}

async function plan({ layout, image, limits, signal }: FlattenWork): Promise<Map<number, Inode>[]> {
  const plan = new FlattenPlan();
  for (const layer of image.layers) {
    plan.beginLayer();
    for await (const member of readTar(openLayer(layout, layer, limits, signal))) plan.add(member);
  }
  return plan.finish();
}

/** The content goes to the name it had, or when that is hidden to the first that is left; the others become links to it. */
async function* emit(member: TarMember, inode: Inode): AsyncGenerator<Uint8Array> {
  const own = normalizePath(member.path) ?? '';
  const [first = ''] = inode.paths;
  const primary = inode.paths.includes(own) ? own : first;
  const asItIs = primary === own && !member.path.split('/').includes('..');
  yield asItIs ? member.blocks : rewrite(member, { path: primary });
  yield* member.body();
  for (const path of inode.paths) if (path !== primary) yield rewrite(member, { path, linkTo: primary });
}
