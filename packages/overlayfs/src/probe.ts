// What this host and this process can do with overlayfs, found by trying.
import { readFile } from 'node:fs/promises';
import { assertLinux, CtrError } from '@ctr/internal/errors';
import { mountOverlay } from './mount-overlay.js';

/** What {@link probeOverlay} found. */
export interface OverlayProbe {
  /** The kernel has overlayfs (it is listed in /proc/filesystems). A module that is not loaded yet counts as absent. */
  readonly available: boolean;
  /** {@link mountOverlay} works in this process: privileges and kernel suffice for detached overlays with a memory upper. */
  readonly mount: boolean;
  /** Why `mount` is false: the error's own words. `undefined` when it is true. */
  readonly reason: string | undefined;
}

let known: Promise<OverlayProbe> | undefined;

/**
 * Finds out by a real mount what works here; tried once, then remembered.
 *
 * @throws {UnsupportedError} CTR_UNSUPPORTED on another system than Linux.
 * @example
 * ```ts
 * const { mount, reason } = await probeOverlay()
 * ```
 */
export async function probeOverlay(): Promise<OverlayProbe> {
  assertLinux('overlayfs');
  known ??= attempt();
  return known;
}

async function attempt(): Promise<OverlayProbe> {
  const listed = await readFile('/proc/filesystems', 'utf8').catch(() => '');
  const available = /\toverlay$/m.test(listed);
  try {
    // Any directory serves as a layer: nothing of it is read or changed.
    const fd = await mountOverlay({ lower: ['/'], size: 65_536 });
    fd.close();
    return { available: true, mount: true, reason: undefined };
  } catch (e) {
    if (!(e instanceof CtrError)) throw e;
    return { available, mount: false, reason: e.message };
  }
}
