// Copy-on-write as a feature: a writable stack whose states can be kept, gone back to and branched off, each in constant time.
//
//   mount:  current (rw) ── frozen 2 ── frozen 1 ── lower …
//   snapshot: current becomes frozen, an empty current is put on top
//   rollback: the frozen ones above the snapshot are let go, an empty current is put on top
//   fork:     another branch that shares the frozen ones, with a current of its own
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { assertLinux, ImageError, InvalidArgumentError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { checkBoolean, checkObject, checkPath } from './check-options.js';
import { type Change, diffUpper } from './diff-upper.js';
import { removeTree } from './files.js';
import { LayerMounts } from './layer-mounts.js';
import { openLayerWriter } from './layer-writer.js';
import { LAYER_FILE } from './mount-layer.js';
import { mountOverlay } from './mount-overlay.js';
import { native } from './native.js';
import type { OverlayOptions } from './overlay-options.js';
import { packUpper } from './pack-upper.js';
import { type BranchState, isName, WorkspaceFiles } from './workspace-state.js';

/** Options of {@link openWorkspace}. */
export interface WorkspaceOptions {
  /**
   * The layers below, top first: directories, or directories of layers that `openLayerWriter` wrote with `form: 'erofs'`. Kept
   * by the workspace: needed when it is made, else they must be the same or absent.
   */
  lower?: readonly string[] | undefined;
  /** The branch to open, 1 to 64 of a-z, 0-9 and "-". Default `'main'`. */
  branch?: string | undefined;
  /** As in {@link OverlayOptions}. Default false. */
  userxattr?: boolean | undefined;
}

/** A state of a workspace that was kept; plain data that may be stored. */
export interface Snapshot {
  /** The frozen uppers that it consists of, top first. */
  readonly layers: readonly string[];
}

/** A writable stack of layers on a disk. Made by {@link openWorkspace}. */
export class Workspace {
  /** The branch's name. */
  readonly branch: string;
  readonly #files: WorkspaceFiles;
  readonly #userxattr: boolean;
  readonly #mounts = new LayerMounts();

  /** @internal */
  constructor(files: WorkspaceFiles, branch: string, userxattr: boolean) {
    this.#files = files;
    this.branch = branch;
    this.#userxattr = userxattr;
  }

  /**
   * What `mountOverlay` and `describeOverlay` take to mount the branch as it is now. After `snapshot()` and `rollback()` mount
   * anew: an overlay that is mounted goes on with the upper it has.
   */
  async overlay(): Promise<OverlayOptions> {
    const state = await this.#state();
    return {
      lower: await this.#lower(state),
      upper: { directory: this.#files.upper(state.current) },
      userxattr: this.#userxattr,
    };
  }

  /**
   * Keeps the state of now, whatever its size, in constant time: the upper takes no more writes, an empty one lies on top.
   * The overlay must not be mounted for writing meanwhile: what it writes afterwards would change the snapshot.
   *
   * @param options.sync - Resolves when everything of the snapshot is on the disk (syncfs(2)). Default true.
   */
  async snapshot(options: { sync?: boolean | undefined } = {}): Promise<Snapshot> {
    checkObject(options, 'options', ['sync']);
    checkBoolean(options.sync, 'sync');
    if (options.sync !== false) await this.#sync();
    return this.#change((state, current) => {
      const frozen = [state.current, ...state.frozen];
      return { next: { ...state, frozen, current }, result: { layers: [...frozen, ...state.flattened] } };
    });
  }

  /**
   * Goes back to a snapshot of this branch, or of the one that it was forked from, in constant time. What came after it is
   * let go; `sweep()` removes it. The overlay must not be mounted.
   *
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the branch does not have this snapshot any more.
   */
  async rollback(snapshot: Snapshot): Promise<void> {
    await this.#change((state, current) => {
      const { frozen, flattened } = assertHas(state, snapshot);
      return { next: { ...state, frozen, flattened, current }, result: undefined };
    });
  }

  /**
   * A new branch that begins with this one's snapshot (default: with all that is frozen) and shares its layers, in constant time.
   *
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the name is taken or no name.
   */
  async fork(branch: string, snapshot?: Snapshot): Promise<Workspace> {
    if (!isName(branch)) throw new InvalidArgumentError('branch', 'a name of a-z, 0-9 and "-"', branch);
    await this.#files.locked(async () => {
      const state = await this.#state();
      if ((await this.#files.read(branch)) !== undefined) throw new InvalidArgumentError('branch', 'a name that no branch has', branch);
      const parts = snapshot === undefined ? state : assertHas(state, snapshot);
      const current = await this.#makeUpper();
      await this.#files.write(branch, { lower: state.lower, frozen: parts.frozen, flattened: parts.flattened, current });
    });
    return new Workspace(this.#files, branch, this.#userxattr);
  }

  /**
   * What changed since a snapshot; without one, since the layers that the workspace was made of.
   *
   * @throws as {@link diffUpper}.
   */
  async *diff(since?: Snapshot): AsyncGenerator<Change> {
    const { uppers, lower } = await this.#since(since);
    yield* diffUpper(uppers, { lower });
  }

  /**
   * The same as a tar layer for an image.
   *
   * @throws as {@link packUpper}.
   */
  async *pack(since?: Snapshot): AsyncGenerator<Uint8Array> {
    const { uppers, lower } = await this.#since(since);
    yield* packUpper(uppers, { lower });
  }

  /**
   * Mounts a snapshot (default: the state of now) read-only and detached, for looking.
   *
   * @throws as {@link mountOverlay}.
   */
  async look(snapshot?: Snapshot): Promise<Fd> {
    const state = await this.#state();
    if (snapshot === undefined) return mountOverlay({ ...(await this.overlay()), readOnly: true });
    const { frozen, flattened } = assertHas(state, snapshot);
    return mountOverlay({ lower: await this.#lower({ ...state, frozen, flattened }), userxattr: this.#userxattr, readOnly: true });
  }

  /** How many layers lie above the ones that the workspace was made of, the writable one included. */
  async depth(): Promise<number> {
    const { frozen, flattened } = await this.#state();
    return frozen.length + flattened.length + 1;
  }

  /**
   * Makes one layer of all that is frozen, so that a deep stack stays quick: overlayfs asks every layer for every name, and takes
   * no more than 500. Snapshots of this branch are then no more of it, but for other branches that have their layers.
   * The time is that of copying what was changed. The overlay must not be mounted.
   */
  async flatten(): Promise<void> {
    await this.#files.locked(async () => {
      const state = await this.#state();
      const uppers = [...state.frozen, ...state.flattened];
      if (uppers.length < 2) return;
      const id = newId();
      const place = this.#files.upper(id);
      await this.#files.makeUpper(id);
      await using writer = openLayerWriter(`${place}/upper`, { userxattr: this.#userxattr });
      const directories = uppers.map((layer) => this.#files.upper(layer));
      for await (const chunk of packUpper(directories, { lower: await this.#lower({ ...state, frozen: [], flattened: [] }) }))
        await writer.write(chunk);
      await writer.end();
      await this.#files.write(this.branch, { ...state, frozen: [], flattened: [id] });
    });
  }

  /** Removes what no branch uses any more; resolves with the number of layers. */
  sweep(): Promise<number> {
    return this.#files.locked(() => this.#files.sweep());
  }

  /** Removes the branch; its layers go by `sweep()` of another one, or now when it was the last. */
  async remove(): Promise<void> {
    await this.#files.locked(async () => {
      await this.#files.remove(this.branch);
      await this.#files.sweep();
    });
    this.close();
  }

  /** Lets go of the mounts of layers; nothing on the disk changes. */
  close(): void {
    this.#mounts.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #state(): Promise<BranchState> {
    const state = await this.#files.read(this.branch);
    if (state === undefined)
      throw new ImageError('CTR_IMAGE_NOT_FOUND', `the workspace ${this.#files.directory} has no branch ${this.branch}`);
    return state;
  }

  async #makeUpper(): Promise<string> {
    const id = newId();
    await this.#files.makeUpper(id);
    return id;
  }

  async #change<T>(change: (state: BranchState, current: string) => { next: BranchState; result: T }): Promise<T> {
    return this.#files.locked(async () => {
      const state = await this.#state();
      const current = await this.#makeUpper();
      try {
        const { next, result } = change(state, current);
        await this.#files.write(this.branch, next);
        return result;
      } catch (e) {
        await removeTree(this.#files.upper(current));
        throw e;
      }
    });
  }

  async #lower(state: BranchState): Promise<(string | Fd)[]> {
    const uppers = [...state.frozen, ...state.flattened].map((id) => `${this.#files.upper(id)}/upper`);
    const layers = state.lower.map(async (directory): Promise<string | Fd> => {
      const [mount] = existsSync(`${directory}/${LAYER_FILE}`) ? await this.#mounts.get([directory]) : [];
      return mount ?? directory;
    });
    return [...uppers, ...(await Promise.all(layers))];
  }

  async #since(since: Snapshot | undefined): Promise<{ uppers: string[]; lower: (string | Fd)[] }> {
    const state = await this.#state();
    const below = since === undefined ? { frozen: [], flattened: [] } : assertHas(state, since);
    const kept = new Set([...below.frozen, ...below.flattened]);
    const all = [state.current, ...state.frozen, ...state.flattened].filter((id) => !kept.has(id));
    const uppers = all.map((id) => this.#files.upper(id));
    return { uppers, lower: await this.#lower({ ...state, ...below }) };
  }

  async #sync(): Promise<void> {
    await using directory = await open(this.#files.directory, 'r');
    await native().syncfs(directory.fd);
  }
}

const newId = (): string => randomUUID();

/** The branch's layers that make up the snapshot. */
function assertHas(state: BranchState, { layers }: Snapshot): { frozen: readonly string[]; flattened: readonly string[] } {
  const all = [...state.frozen, ...state.flattened];
  const from = all.length - layers.length;
  if (!Array.isArray(layers) || from < 0 || layers.some((id, i) => all[from + i] !== id))
    throw new InvalidArgumentError('snapshot', `a snapshot that this branch has`, layers);
  return { frozen: state.frozen.slice(from), flattened: state.flattened.slice(Math.max(0, from - state.frozen.length)) };
}

/**
 * Opens a workspace: a writable stack of layers in a directory of a disk, whose states can be kept ({@link Workspace.snapshot}),
 * gone back to, branched off and compared, each without copying. Makes it when it is not there.
 *
 * @remarks Processes may share a workspace; each branch belongs to one at a time. The directory's file system must do as an
 * upper: extended attributes, no overlay.
 * @param directory - Absolute path; it becomes mode 0700.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when an option is wrong, or a new workspace has no `lower`.
 * @throws {UnsupportedError} CTR_UNSUPPORTED on another system than Linux.
 * @throws {SyscallError} with the errno's name as code, such as EACCES.
 * @example
 * ```ts
 * using work = await openWorkspace('/var/lib/my-tool/work', { lower: ['/layers/base'] })
 * const before = await work.snapshot()
 * // … mountOverlay(await work.overlay()), write, close …
 * for await (const { kind, path } of work.diff(before)) console.log(kind, path)
 * await work.rollback(before)
 * ```
 */
export async function openWorkspace(directory: string, options: WorkspaceOptions = {}): Promise<Workspace> {
  checkPath(directory, 'directory');
  checkObject(options, 'options', ['lower', 'branch', 'userxattr']);
  const { lower, branch = 'main', userxattr } = options as WorkspaceOptions;
  checkBoolean(userxattr, 'userxattr');
  if (!isName(branch)) throw new InvalidArgumentError('branch', 'a name of a-z, 0-9 and "-"', branch);
  if (lower !== undefined && !Array.isArray(lower)) throw new InvalidArgumentError('lower', 'an array of paths, top first', lower);
  for (const [i, layer] of (lower ?? []).entries()) checkPath(layer, `lower[${i}]`);
  assertLinux('a workspace');
  const files = new WorkspaceFiles(directory);
  await files.make();
  await files.locked(async () => {
    const state = await files.read(branch);
    if (state !== undefined) {
      if (lower !== undefined && lower.join('\0') !== state.lower.join('\0'))
        throw new InvalidArgumentError('lower', 'the layers that the workspace was made with, or absent', lower);
      return;
    }
    if (lower === undefined || lower.length === 0) throw new InvalidArgumentError('lower', 'at least one layer for a new workspace', lower);
    const current = newId();
    await files.makeUpper(current);
    await files.write(branch, { lower, frozen: [], flattened: [], current });
  });
  return new Workspace(files, branch, userxattr ?? false);
}
