// Uppers on a disk that can hold so much and no more: by project quota where the file system has it, else in a file system of their own.
//
//   quota:  directory/{upper,work}            the directory's project id has a limit
//   loop:   directory/layer.ext4 ── loop ──>  a device, which is mounted for the overlay alone
import { constants } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { assertLinux, CtrError, InvalidArgumentError, syscallErrorFrom, UnsupportedError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { checkCount, checkObject, checkPath } from './check-options.js';
import { removeTree } from './files.js';
import { errorOf } from './layer-error.js';
import { exists, findMkfs, makeExt4 } from './make-ext4.js';
import { native } from './native.js';
import type { OverlayOptions } from './overlay-options.js';

/** How a size is kept to: by the project quota of the file system, or by a file system of that size on a loop device. */
export type UpperLimit = 'quota' | 'loop';

/** What {@link chooseUpperLimit} found. */
export interface UpperLimitChoice {
  /** The better of the ways that work here; `undefined`: none does. */
  readonly by: UpperLimit | undefined;
  /** What is missing, when none works. */
  readonly requires: string | undefined;
}

/** Options of {@link makeSizedUpper}. */
export interface SizedUpperOptions {
  /** Bytes, at least 1 MiB. With `'loop'` what the file system itself needs is a part of it. */
  size: number;
  /** Default: what {@link chooseUpperLimit} finds. */
  by?: UpperLimit | undefined;
}

const FEATURE = 'a size limit of a writable layer on disk';
const MIN_SIZE = 2 ** 20;
const CAP_SYS_ADMIN = 1n << 21n;

/** CAP_SYS_ADMIN in the machine's own user namespace: in another one the kernel sets no quota and mounts no ext4. */
async function isHostAdmin(): Promise<boolean> {
  const [status, map] = await Promise.all([readFile('/proc/self/status', 'utf8'), readFile('/proc/self/uid_map', 'utf8')]);
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return (effective & CAP_SYS_ADMIN) !== 0n && /^\s*0\s+0\s+4294967295\s*$/.test(map);
}

/** The nearest of its parents that is there: on the same disk, unless somebody mounts one in between. */
async function existing(directory: string): Promise<string> {
  for (let at = directory; ; at = path.dirname(at)) {
    if (at === '/' || (await exists(at))) return at;
  }
}

/**
 * Finds out how the size of an upper below `directory` can be limited. Creates nothing.
 *
 * @param directory - Absolute path; it, or the folder that it is to be made in, is asked.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the path is wrong.
 * @throws {UnsupportedError} CTR_UNSUPPORTED on another system than Linux.
 * @see https://man7.org/linux/man-pages/man2/quotactl.2.html
 * @see https://man7.org/linux/man-pages/man4/loop.4.html
 * @example
 * ```ts
 * const { by, requires } = await chooseUpperLimit('/var/lib/my-tool')
 * ```
 */
export async function chooseUpperLimit(directory: string): Promise<UpperLimitChoice> {
  checkPath(directory, 'directory');
  assertLinux(FEATURE);
  if (!(await isHostAdmin())) return { by: undefined, requires: 'CAP_SYS_ADMIN in the initial user namespace' };
  try {
    if (await native().enforcesProjects(await existing(directory))) return { by: 'quota', requires: undefined };
  } catch (e) {
    throw errorOf(e, 'look for project quota');
  }
  const quota = 'project quota on the file system (mount option prjquota)';
  if (!(await exists('/dev/loop-control', constants.R_OK | constants.W_OK)))
    return { by: undefined, requires: `${quota}, or loop devices` };
  if ((await findMkfs()) === undefined) return { by: undefined, requires: `${quota}, or mkfs.ext4 of e2fsprogs` };
  return { by: 'loop', requires: undefined };
}

/** An upper on a disk with a limit. Made by {@link makeSizedUpper}. */
export class SizedUpper {
  readonly by: UpperLimit;
  readonly directory: string;
  /** For {@link OverlayOptions.upper}. */
  readonly upper: Exclude<OverlayOptions['upper'], undefined | 'memory'>;
  readonly #device: Fd | undefined;
  readonly #project: number | undefined;

  /** @internal */
  constructor(directory: string, { device, project }: { device?: { fd: Fd; name: string }; project?: number }) {
    this.directory = directory;
    this.by = device === undefined ? 'quota' : 'loop';
    this.upper = device === undefined ? { directory } : { device: device.name };
    this.#device = device?.fd;
    this.#project = project;
  }

  /** To be called once the overlay is mounted, or is not going to be: the loop device then goes with the last mount of it. */
  close(): void {
    this.#device?.close();
  }

  /**
   * Removes all of it, once the overlay is gone. For what is removed otherwise, it takes the project's limit away.
   *
   * @throws {SyscallError} with the errno's name as code.
   */
  async remove(): Promise<void> {
    this.close();
    await removeTree(this.directory);
    if (this.#project === undefined) return;
    try {
      await native().releaseProject(path.dirname(this.directory), this.#project);
    } catch (e) {
      // Nobody is held up by the limit of an id that nothing has: whoever makes the next one takes it away.
      if ((e as NodeJS.ErrnoException).syscall !== 'open') throw errorOf(e, 'take the limit of a writable layer away');
    }
  }
}

/**
 * Makes a directory for an upper that can hold `size` bytes and no more: a write beyond says ENOSPC, or EDQUOT by ext4's project quota.
 * Needs CAP_SYS_ADMIN in the initial user namespace.
 *
 * @remarks `'quota'` needs Linux 5.14 and a file system that enforces project quotas (ext4 or XFS with prjquota). `'loop'` needs Linux 5.8
 * and mkfs.ext4, and keeps a template of each size beside the directory, some hundred kilobytes that may be removed at any time. When
 * this process is killed nothing stays but the files: the device frees itself, and a limit without files is taken away by the next call.
 * @param directory - Absolute path; must not exist, its parent must.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when an argument is wrong.
 * @throws {UnsupportedError} CTR_UNSUPPORTED when neither way works here; nothing has been made then.
 * @throws {SyscallError} with the errno's name as code, such as EEXIST.
 * @example
 * ```ts
 * const layer = await makeSizedUpper('/var/lib/my-tool/layer', { size: 2 ** 30 })
 * try {
 *   using root = await mountOverlay({ lower: ['/layers/base'], upper: layer.upper, volatile: true })
 *   layer.close()
 *   // … use it …
 * } finally {
 *   await layer.remove()
 * }
 * ```
 */
export async function makeSizedUpper(directory: string, options: SizedUpperOptions): Promise<SizedUpper> {
  checkPath(directory, 'directory');
  checkObject(options, 'options', ['size', 'by']);
  const { size, by } = options as SizedUpperOptions;
  checkCount(size, 'size', 'bytes');
  if (size < MIN_SIZE) throw new InvalidArgumentError('size', `at least ${MIN_SIZE} bytes`, size);
  if (by !== undefined && by !== 'quota' && by !== 'loop') throw new InvalidArgumentError('by', '"quota" or "loop"', by);
  const choice = await chooseUpperLimit(directory);
  if (choice.by === undefined)
    throw new UnsupportedError(FEATURE, choice.requires ?? '', undefined, { hint: 'limit an upper in memory, which needs nothing' });
  return make(directory, size, by ?? choice.by);
}

async function make(directory: string, size: number, by: UpperLimit): Promise<SizedUpper> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (e) {
    throw syscallErrorFrom(e, 'make the writable layer');
  }
  try {
    return await (by === 'quota' ? limited(directory, size) : onDevice(directory, size));
  } catch (e) {
    await removeTree(directory);
    throw e instanceof CtrError ? e : errorOf(e, 'limit the size of a writable layer');
  }
}

async function limited(directory: string, size: number): Promise<SizedUpper> {
  return new SizedUpper(directory, { project: await native().limitProject(path.dirname(directory), directory, size) });
}

async function onDevice(directory: string, size: number): Promise<SizedUpper> {
  const mkfs = await findMkfs();
  if (mkfs === undefined) throw new UnsupportedError(FEATURE, 'mkfs.ext4 of e2fsprogs');
  const file = `${directory}/layer.ext4`;
  // Whole sectors: what a device counts in.
  await makeExt4(mkfs, file, { size: Math.floor(size / 512) * 512, templates: path.dirname(directory) });
  const binding = native();
  const { fd, name } = await binding.attachLoop(file);
  return new SizedUpper(directory, { device: { fd: Fd.of(fd, { close: (n) => binding.close(n) }), name } });
}
