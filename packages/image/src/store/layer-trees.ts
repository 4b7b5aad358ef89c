// Unpacked layers: made in a temporary directory, moved to the name of their diffID, and listed for overlayfs.
import { chmod, lstat, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Digest } from '../digest.js';
import type { LayerBlob, LayerIntake, LayerSink } from '../unpack/layer-sink.js';
import { isMissing, removeTree, storeError } from './files.js';
import type { Layout } from './layout.js';

/** Beside the tree: what the sink said about it. */
const FACTS = 'layer.json';
const TREE = 'fs';

interface Facts {
  /** The layer hides everything below it. */
  opaqueRoot: boolean;
}

/** A layer being unpacked. Ends by `publish` or `abort`. */
export class LayerTarget {
  readonly intake: LayerIntake;
  readonly #layout: Layout;
  readonly #directory: string;
  readonly #form: string | undefined;
  #facts: Facts = { opaqueRoot: false };

  private constructor(layout: Layout, directory: string, intake: LayerIntake, form: string | undefined) {
    this.#form = form;
    this.#layout = layout;
    this.#directory = directory;
    this.intake = intake;
  }

  /** Without a blob the sink gets the archive's bytes; with one it has the choice. */
  static async open(layout: Layout, sink: LayerSink, blob?: LayerBlob): Promise<LayerTarget> {
    const directory = layout.tempName('layer');
    const tree = path.join(directory, TREE);
    try {
      await mkdir(directory, { mode: 0o700 });
      await mkdir(tree);
      // It becomes the root directory of containers, which their users must be able to enter; the store above is 0700.
      await chmod(tree, 0o755);
      return new LayerTarget(layout, directory, await openIntake(sink, tree, blob), sink.form);
    } catch (error) {
      await removeTree(directory);
      throw storeError(error, 'begin a layer in the image store');
    }
  }

  /** Makes the sink complete its layer, and notes what it says about it. */
  async end(): Promise<unknown> {
    const result = await this.intake.writer.end();
    this.#facts = { opaqueRoot: (result as Partial<Facts> | undefined)?.opaqueRoot === true };
    return result;
  }

  /** Stops the writer and removes what it made; throws what failed on the way, after everything was tried. */
  async abort(): Promise<void> {
    const stopped = await this.intake.writer.abort().then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    await removeTree(this.#directory);
    if (stopped !== undefined) throw stopped.error;
  }

  /**
   * Gives the tree its place. When another process was faster, its tree stays and ours goes. The name is made durable with the index
   * that needs it; one that a power cut takes before is unpacked again.
   */
  async publish(diffId: Digest): Promise<void> {
    try {
      await writeFile(path.join(this.#directory, FACTS), JSON.stringify(this.#facts), { mode: 0o600 });
      await rename(this.#directory, this.#layout.layer(diffId, this.#form));
    } catch (error) {
      if (!['EEXIST', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? ''))
        throw storeError(error, 'publish a layer in the image store');
      await removeTree(this.#directory);
    }
  }
}

async function openIntake(sink: LayerSink, tree: string, blob: LayerBlob | undefined): Promise<LayerIntake> {
  const writer = blob && (await sink.openBlob?.(tree, blob));
  return writer === undefined ? { takes: 'tar', writer: await sink.open(tree) } : { takes: 'blob', writer };
}

export async function isUnpacked(layout: Layout, diffId: Digest, form: string | undefined): Promise<boolean> {
  const found = await lstat(path.join(layout.layer(diffId, form), TREE)).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw storeError(error, 'look for an unpacked layer');
  });
  return found?.isDirectory() === true;
}

/** Facts that were read before: a diffID has one content for ever. */
const known = new Map<string, Facts>();

async function factsOf(directory: string): Promise<Facts> {
  const file = path.join(directory, FACTS);
  const before = known.get(file);
  if (before !== undefined) return before;
  try {
    const facts = JSON.parse(await readFile(file, 'utf8')) as Facts;
    known.set(file, facts);
    return facts;
  } catch (error) {
    throw storeError(error, 'read what is known of an unpacked layer');
  }
}

/**
 * The trees of an image, TOP FIRST, each once: a layer that occurs twice is seen through its upper occurrence only.
 * Below a layer that hides everything nothing is listed: overlayfs ignores such a mark on a layer's root.
 */
export async function listTrees(layout: Layout, diffIds: readonly Digest[], form: string | undefined): Promise<string[]> {
  const trees: string[] = [];
  for (const diffId of new Set(diffIds.toReversed())) {
    const directory = layout.layer(diffId, form);
    trees.push(path.join(directory, TREE));
    if ((await factsOf(directory)).opaqueRoot) break;
  }
  return trees;
}
