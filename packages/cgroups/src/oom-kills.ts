// How many processes of a cgroup the OOM killer has taken: one small file.
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { oomText, oomKills as parse } from './controllers/memory.js';
import { tryRead } from './kernfs.js';
import type { CgroupDirectories } from './names.js';
import { sourcesOf } from './stats.js';

/**
 * Counts the processes that the OOM killer has taken since the cgroup was made; 0 without a memory controller, and once the
 * cgroup is gone. Reads one file of the kernel's, at once.
 *
 * @param directories of {@link describeCgroup}
 * @example
 * ```ts
 * if (oomKills(cgroup.directories) > 0) console.error('out of memory')
 * ```
 */
export function oomKills(directories: CgroupDirectories): number {
  return parse(sourcesOf(directories, tryRead)('memory')) ?? 0;
}

const buffer = Buffer.allocUnsafe(4096);

/**
 * {@link oomKills} for those who look often: the file stays open until `close`, and what was read is understood only when somebody asks.
 *
 * @example
 * ```ts
 * using counter = new OomKillCounter(cgroup.directories)
 * const before = counter.look()
 * // …
 * if (counter.count() > counter.count(before)) console.error('out of memory')
 * ```
 */
export class OomKillCounter implements Disposable {
  readonly #directories: CgroupDirectories;
  /** `undefined`: not open yet; null: it will not be. */
  #fd: number | null | undefined;

  /** @param directories of {@link describeCgroup} */
  constructor(directories: CgroupDirectories) {
    this.#directories = directories;
  }

  /** What the kernel says now, for `count`; `null` where it says nothing. */
  look(): string | null {
    const source = sourcesOf(this.#directories, (file) => this.#read(file))('memory');
    return source === null ? null : oomText(source);
  }

  /** How many it has taken, now or by what `look` returned then; 0 as for oomKills(). */
  count(looked: string | null = this.look()): number {
    return parse(sourcesOf(this.#directories, () => looked)('memory')) ?? 0;
  }

  #read(file: string): string | null {
    if (this.#fd === undefined) this.#fd = tryOpen(file);
    if (this.#fd === null) return tryRead(file);
    try {
      // KERNEL: one record, made anew at offset 0 (kernfs, seq_file).
      return buffer.toString('latin1', 0, readSync(this.#fd, buffer, 0, buffer.length, 0));
    } catch {
      // The cgroup is gone (ENODEV).
      return null;
    }
  }

  /** Lets go of the file; looks after this open it each time. */
  close(): void {
    if (typeof this.#fd === 'number') closeSync(this.#fd);
    this.#fd = null;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function tryOpen(file: string): number | null {
  try {
    return openSync(file, constants.O_RDONLY);
  } catch {
    return null;
  }
}
