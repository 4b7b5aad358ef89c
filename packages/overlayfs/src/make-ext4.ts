// File systems in sparse files: one of each size is made by mkfs.ext4, the others are copies of what is no hole in it.
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { SyscallError, syscallErrorFrom } from '@ctr/internal/errors';
import { errorOf } from './layer-error.js';
import { native } from './native.js';

const run = promisify(execFile);

/** Where system programs are, which a user's PATH may leave out. */
const SYSTEM = ['/usr/sbin', '/sbin', '/usr/local/sbin'];

export const exists = (file: string, mode: number = constants.F_OK): Promise<boolean> =>
  access(file, mode).then(
    () => true,
    () => false,
  );

/** The path of mkfs.ext4. */
export async function findMkfs(): Promise<string | undefined> {
  const places = [...(process.env['PATH'] ?? '').split(':').filter((place) => path.isAbsolute(place)), ...SYSTEM];
  for (const place of places) {
    const file = path.join(place, 'mkfs.ext4');
    if (await exists(file, constants.X_OK)) return file;
  }
  return undefined;
}

/**
 * No blocks kept for root, and nothing written that zeros of a fresh file say as well, so that the file stays a few hundred kilobytes. The
 * journal stays: without one ext4 is slow to make files where others were deleted. mke2fs(8)
 */
const OPTIONS = ['-q', '-F', '-m', '0', '-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0'];

async function makeTemplate(mkfs: string, file: string, size: number): Promise<void> {
  const made = `${file}.${process.pid}.tmp`;
  try {
    {
      await using image = await open(made, 'wx', 0o600);
      await image.truncate(size);
    }
    // What it says must not depend on the language of the user.
    await run(mkfs, [...OPTIONS, made], { env: { PATH: SYSTEM.join(':'), LC_ALL: 'C' } });
    await rename(made, file);
  } catch (e) {
    await rm(made, { force: true });
    throw mkfsError(e, mkfs);
  }
}

function mkfsError(e: unknown, mkfs: string): Error {
  const doing = 'make the file system of a writable layer';
  const { stderr, code } = e as { stderr?: string; code?: string | number };
  if (typeof code === 'string') return syscallErrorFrom(e, doing);
  // A program's exit status is no errno: EIO, with its own words.
  return new SyscallError({ errno: 5, syscall: mkfs, doing }, { cause: e, detail: (stderr ?? '').trim().slice(0, 500) });
}

const making = new Map<string, Promise<void>>();

/** Made once, however many ask for it at the same time; one that is gone is made anew. */
function template(mkfs: string, file: string, size: number): Promise<void> {
  const known = making.get(file);
  if (known !== undefined) return known;
  const work = exists(file)
    .then((there) => (there ? undefined : makeTemplate(mkfs, file, size)))
    .finally(() => making.delete(file));
  making.set(file, work);
  return work;
}

/** Makes the file: an empty ext4 of `size` bytes. `templates` is the folder, of one owner and one file system, where one of this size is kept. */
export async function makeExt4(mkfs: string, file: string, { size, templates }: { size: number; templates: string }): Promise<void> {
  const kept = path.join(templates, `template-${size}.ext4`);
  await template(mkfs, kept, size);
  try {
    await native().copySparse(kept, file);
  } catch (e) {
    throw errorOf(e, 'make the file system of a writable layer');
  }
}
