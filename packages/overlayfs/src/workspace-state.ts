// What a workspace remembers: one small file for each branch, replaced as a whole, and a lock around every change.
//
//   DIRECTORY/lock
//   DIRECTORY/branches/NAME.json    { lower, frozen (top first), current }
//   DIRECTORY/uppers/ID/{upper,work}
import { chmod, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { ImageError, syscallErrorFrom } from '@ctr/internal/errors';
import { removeTree } from './files.js';
import { native } from './native.js';

export interface BranchState {
  /** The layers that the workspace began with, top first. */
  readonly lower: readonly string[];
  /** Uppers that take no more writes, top first. */
  readonly frozen: readonly string[];
  /** Layers made by flattening, which lie between `frozen` and `lower`, top first. */
  readonly flattened: readonly string[];
  /** The upper that takes writes. */
  readonly current: string;
}

const LOCK_EX = 2;
const ID = /^[a-z0-9-]{1,64}$/;

/** Names become file names. */
export const isName = (name: unknown): name is string => typeof name === 'string' && ID.test(name);

export class WorkspaceFiles {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  upper(id: string): string {
    return `${this.directory}/uppers/${id}`;
  }

  #file(name: string): string {
    return `${this.directory}/branches/${name}.json`;
  }

  /** Mode 0700: uppers hold setuid files of whoever wrote them. */
  async make(): Promise<void> {
    try {
      await mkdir(this.directory, { recursive: true, mode: 0o700 });
      for (const part of ['branches', 'uppers']) await mkdir(`${this.directory}/${part}`, { recursive: true, mode: 0o700 });
    } catch (e) {
      throw syscallErrorFrom(e, 'make a workspace');
    }
  }

  /** Runs `work` while no other process changes this workspace. The kernel gives the lock up whatever ends this process. */
  async locked<T>(work: () => Promise<T>): Promise<T> {
    await using file = await open(`${this.directory}/lock`, 'a', 0o600);
    await native().flock(file.fd, LOCK_EX);
    return await work();
  }

  async read(name: string): Promise<BranchState | undefined> {
    try {
      return JSON.parse(await readFile(this.#file(name), 'utf8')) as BranchState;
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      if (e instanceof SyntaxError) throw new ImageError('CTR_IMAGE_INVALID', `the workspace's file ${this.#file(name)} is damaged`);
      throw syscallErrorFrom(e, 'read a workspace');
    }
  }

  /** After it, and not before, the branch is what `state` says, also when the machine stops in between. */
  async write(name: string, state: BranchState): Promise<void> {
    const file = this.#file(name);
    try {
      await using next = await open(`${file}.tmp`, 'w', 0o600);
      await next.writeFile(JSON.stringify(state));
      await next.sync();
      await rename(`${file}.tmp`, file);
      await using directory = await open(`${this.directory}/branches`, 'r');
      await directory.sync();
    } catch (e) {
      throw syscallErrorFrom(e, 'write a workspace');
    }
  }

  /** The branch is gone; what it used goes by the next sweep. */
  async remove(name: string): Promise<void> {
    await unlink(this.#file(name)).catch((e: NodeJS.ErrnoException) => {
      if (e.code !== 'ENOENT') throw syscallErrorFrom(e, 'remove a branch of a workspace');
    });
  }

  async names(): Promise<string[]> {
    const files = await readdir(`${this.directory}/branches`);
    return files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
  }

  async makeUpper(id: string): Promise<void> {
    try {
      await mkdir(this.upper(id), { mode: 0o700 });
      await mkdir(`${this.upper(id)}/upper`);
      // Of the root that programs see, whatever the umask.
      await chmod(`${this.upper(id)}/upper`, 0o755);
    } catch (e) {
      throw syscallErrorFrom(e, 'make a writable layer');
    }
  }

  /** Removes uppers that no branch names. Under the lock: one that is being made is named before it is given up. */
  async sweep(): Promise<number> {
    const used = new Set<string>();
    for (const name of await this.names()) {
      const state = await this.read(name);
      for (const id of [...(state?.frozen ?? []), ...(state?.flattened ?? []), state?.current]) if (id !== undefined) used.add(id);
    }
    const unused = (await readdir(`${this.directory}/uppers`)).filter((id) => !used.has(id));
    for (const id of unused) await removeTree(this.upper(id));
    return unused.length;
  }
}
