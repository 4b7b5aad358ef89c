// The layers of a process in their EROFS form, each mounted once: all overlays above them share one page cache.
import type { Fd } from '@ctr/internal/fd';
import { mountLayer } from './mount-layer.js';
import { pathOf } from './overlay-options.js';

/**
 * Mounts of layers that are written once and used by many overlays. Each directory is mounted the first time it is asked for,
 * and stays so until {@link close}, also when its file was removed meanwhile.
 *
 * @example
 * ```ts
 * using mounts = new LayerMounts()
 * const lower = await mounts.get(['/layers/app', '/layers/base'])
 * using root = await mountOverlay({ lower })
 * ```
 */
export class LayerMounts {
  readonly #mounts = new Map<string, Promise<Fd>>();

  /**
   * The mounts of these layers, in the same order. They belong to this object: do not close them.
   *
   * @param directories - As given to `openLayerWriter`, which wrote them with `form: 'erofs'`.
   * @throws as {@link mountLayer}; what failed is tried again by the next call.
   */
  async get(directories: readonly string[]): Promise<Fd[]> {
    return Promise.all(directories.map((directory) => this.#mount(directory)));
  }

  /**
   * The same as paths in this process's /proc, by which root's processes open them: for {@link OverlayOptions.lower} and
   * {@link readFileInRoot}.
   *
   * @throws as {@link get}.
   */
  async paths(directories: readonly string[]): Promise<string[]> {
    return (await this.get(directories)).map(pathOf);
  }

  #mount(directory: string): Promise<Fd> {
    const known = this.#mounts.get(directory);
    if (known !== undefined) return known;
    const mounting = mountLayer(directory);
    this.#mounts.set(directory, mounting);
    mounting.catch(() => this.#mounts.delete(directory));
    return mounting;
  }

  /** Closes all of them. Overlays that are mounted keep what they need. */
  close(): void {
    for (const mounting of this.#mounts.values()) {
      mounting.then(
        (fd) => fd.close(),
        () => undefined,
      );
    }
    this.#mounts.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
