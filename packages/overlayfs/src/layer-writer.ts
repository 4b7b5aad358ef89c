// From a tar stream to a layer that overlayfs can mount. The work is native; here are order, states and errors.
import { AbortError, assertLinux, CleanupError, CtrError, InvalidArgumentError } from '@ctr/internal/errors';
import { checkBoolean, checkObject, checkPath } from './check-options.js';
import { errorOf } from './layer-error.js';
import { type LayerLimits, limitList } from './layer-limits.js';
import { type LayerForm, type LayerHandle, native } from './native.js';

/** Options of {@link openLayerWriter}. */
export interface LayerWriterOptions {
  /**
   * Writes overlay's marks as `user.overlay.*`, for layers that are mounted in a user namespace (`userxattr`), instead of
   * `trusted.overlay.*`, which only root can write. No default: it decides who can use the layer.
   */
  userxattr: boolean;
  /**
   * How the layer lies in the directory. Default `'dir'`: as a tree that overlayfs takes as it is. `'erofs'`: as one file,
   * `layer.erofs`, the archive as it came with an index behind it, for {@link mountLayer}: many times faster to write and to
   * remove. {@link chooseLayerForm} says whether it can be mounted.
   */
  form?: LayerForm | undefined;
  /**
   * `end()` resolves when the layer is on the disk: syncfs(2) for a tree, fdatasync(2) for a file. Default true. Without it a
   * crash of the machine may leave a damaged layer that looks complete.
   */
  sync?: boolean | undefined;
  /** Bounds on the layer; see {@link LayerLimits} for the defaults. */
  limits?: LayerLimits | undefined;
}

/** What {@link LayerWriter.end} reports. Nothing is left out without being counted here. */
export interface LayerStats {
  /** Entries of the archive, whiteouts included. */
  readonly entries: number;
  /** Bytes of all files' content. */
  readonly bytes: number;
  /** Inodes that belong to the caller because it may not give them to the owner that the archive says. */
  readonly ownersDropped: number;
  /** Extended attributes that were not written: not allowed in a layer, or not possible for this user or file system. */
  readonly xattrsDropped: number;
  /** Device nodes that this user may not make. */
  readonly devicesSkipped: number;
  /** Parent directories that the archive did not have; they are root's, with mode 0755. */
  readonly implicitDirectories: number;
  /** AUFS's own bookkeeping files (`.wh..wh.*`), which mean nothing to overlayfs. */
  readonly auxiliarySkipped: number;
  /** The layer hides everything below: give overlayfs no layer below this one, it ignores the mark on a root. */
  readonly opaqueRoot: boolean;
  /** The two zero blocks that end an archive were there. Without them it is taken as complete at an entry's border. */
  readonly endMarker: boolean;
}

/**
 * Writes one layer. Takes the uncompressed tar stream in any split; every byte is treated as hostile. When anything
 * fails, the directory is removed and every further call rejects with the same error.
 */
export class LayerWriter {
  readonly #handle: LayerHandle;
  readonly #doing: string;
  #state: 'open' | 'ended' | 'aborted' = 'open';
  /** Calls run one after the other; rejects with the first error. */
  #queue: Promise<unknown>;
  #failed: Promise<Error> | undefined;

  /** @internal Use {@link openLayerWriter}. */
  constructor(handle: LayerHandle, directory: string) {
    this.#handle = handle;
    this.#doing = `write the layer ${JSON.stringify(directory)}`;
    this.#queue = this.#guard(() => handle.open());
    // Reported by the next call.
    this.#queue.catch(() => undefined);
  }

  /**
   * Takes the next bytes; resolves when they are on their way to the disk, so that waiting for it bounds memory. Leave the
   * chunk unchanged until then.
   *
   * @throws {ImageError} CTR_IMAGE_INVALID when the archive is malformed or would leave the directory, CTR_IMAGE_LIMIT
   * when it passes a limit; the message names the entry.
   * @throws {SyscallError} with the errno's name as code, such as ENOSPC.
   * @throws {AbortError} ABORT_ERR when abort() came before it was this chunk's turn.
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the chunk is no Uint8Array, or the writer was ended.
   */
  async write(chunk: Uint8Array): Promise<void> {
    if (!(chunk instanceof Uint8Array)) throw new InvalidArgumentError('chunk', 'a Uint8Array', chunk);
    this.#assertOpen('write');
    const { byteLength } = chunk;
    await this.#next(() => {
      if (chunk.byteLength !== byteLength) throw new InvalidArgumentError('chunk', 'left alone until write() resolves', chunk);
      return this.#handle.write(chunk);
    });
  }

  /**
   * The stream is over: sets the directories' modes and times and reports. The directory is the caller's from then on.
   *
   * @throws as {@link write}; also when the archive ends in the middle of an entry.
   */
  async end(): Promise<LayerStats> {
    this.#assertOpen('end');
    this.#state = 'ended';
    return this.#next(() => this.#handle.end());
  }

  /** Stops and removes the directory; resolves when it is gone. After a successful {@link end} it does nothing. */
  async abort(): Promise<void> {
    if (this.#state === 'open') this.#state = 'aborted';
    await this.#queue.catch(() => undefined);
    await this.#failed;
    await this.#handle.abort().catch((e) => {
      throw errorOf(e, this.#doing);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #assertOpen(call: string): void {
    if (this.#state !== 'open') throw new InvalidArgumentError('writer', `open when ${call}() is called`, this.#state);
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(() => {
      if (this.#state === 'aborted') throw new AbortError(this.#doing, undefined);
      return this.#guard(work);
    });
    this.#queue = result;
    result.catch(() => undefined);
    return result;
  }

  /** The first failure removes what was written; the rejection comes when that is done. */
  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (e) {
      this.#failed ??= this.#cleanUp(e instanceof CtrError ? e : errorOf(e, this.#doing));
      throw await this.#failed;
    }
  }

  async #cleanUp(error: Error): Promise<Error> {
    try {
      await this.#handle.abort();
    } catch (e) {
      if (error instanceof CtrError) error.cleanup = [new CleanupError('the unfinished layer', [errorOf(e, this.#doing)])];
    }
    return error;
  }
}

/**
 * Opens a writer that puts one image layer into `directory`, in the form that overlayfs reads: whiteouts become
 * character devices 0:0, opaque directories get an extended attribute. The directory is made when missing; one that is
 * there must be empty. Fits `LayerSink` of `@ctr/image`.
 *
 * @remarks As root, owners and devices are kept. As an ordinary user everything in a tree belongs to the caller, who is root
 * in a user namespace with one id; modes are kept.
 *
 * The form `'erofs'` needs no rights to be written, and keeps all owners and devices whoever writes it.
 *
 * Symbolic links in the layer are resolved as in a chroot, by the kernel (openat2, Linux 5.6); ".." in a name is an error. Of
 * extended attributes `security.capability` and `user.*` are kept. A hard link must point to a file of the same layer. A
 * later entry replaces an earlier one of the same name. Sparse files of GNU tar (old headers; PAX 0.0, 0.1 and 1.0) keep their holes,
 * which count towards the limit of bytes.
 *
 * @param directory - Absolute path; give it a parent that only this user can enter (0700), as it holds setuid files.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when an option is wrong.
 * @throws {UnsupportedError} CTR_UNSUPPORTED on another system than Linux. What the directory itself makes fail is reported by
 * the first `write()` or `end()`.
 * @see https://github.com/opencontainers/image-spec/blob/main/layer.md
 * @example
 * ```ts
 * await using layer = openLayerWriter('/var/lib/my-tool/layer', { userxattr: process.getuid() !== 0 })
 * for await (const chunk of createReadStream('layer.tar')) await layer.write(chunk)
 * console.log(await layer.end())
 * ```
 */
export function openLayerWriter(directory: string, options: LayerWriterOptions): LayerWriter {
  checkObject(options, 'options', WRITER_OPTIONS);
  const { form, userxattr, sync, limits } = checkWriter(directory, options);
  assertLinux('the layer writer');
  return new LayerWriter(new (native().LayerHandle)(directory, form, userxattr, sync, limits), directory);
}

export const WRITER_OPTIONS = ['userxattr', 'form', 'sync', 'limits'] as const;

/** The options after the checks, with defaults. @throws {InvalidArgumentError} naming the option. */
export function checkWriter(
  directory: string,
  options: LayerWriterOptions,
): { form: LayerForm; userxattr: boolean; sync: boolean; limits: number[] } {
  checkPath(directory, 'directory');
  checkBoolean(options.userxattr, 'userxattr');
  if (options.userxattr === undefined) throw new InvalidArgumentError('userxattr', 'true or false', options.userxattr);
  const form = options.form ?? 'dir';
  if (form !== 'erofs' && form !== 'dir') throw new InvalidArgumentError('form', '"erofs" or "dir"', options.form);
  checkBoolean(options.sync, 'sync');
  return { form, userxattr: options.userxattr, sync: options.sync ?? true, limits: limitList(options.limits) };
}
