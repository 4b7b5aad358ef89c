// Where the records of running sessions lie: a private folder in memory where the host has one.
import { lstat, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CtrError, syscallErrorFrom, UnsupportedError } from '@ctr/internal/errors';

/** Best first. CTR_RUN names one and no other. */
function candidates(uid: number, env: NodeJS.ProcessEnv): string[] {
  if (env['CTR_RUN']) return [path.resolve(env['CTR_RUN'])];
  const shared = path.join(tmpdir(), `ctr-${uid}`);
  if (uid === 0) return ['/run/ctr', shared];
  return env['XDG_RUNTIME_DIR'] ? [path.join(env['XDG_RUNTIME_DIR'], 'ctr'), shared] : [shared];
}

/** SECURITY: in a shared /tmp somebody else may have made it first, or put a link there. */
async function ours(directory: string, uid: number): Promise<void> {
  const s = await lstat(directory);
  if (s.isDirectory() && s.uid === uid && (s.mode & 0o077) === 0) return;
  const found = s.isDirectory() ? `owner ${s.uid}, mode 0${(s.mode & 0o7777).toString(8)}` : 'something else';
  throw new UnsupportedError(`the folder ${directory}`, `a directory of user ${uid} with mode 0700`, found, {
    hint: 'remove it, or name another one in CTR_RUN',
  });
}

/** Not in one recursive call: that never returns where the kernel answers ENOENT though the parent is there, as procfs does. */
async function make(directory: string): Promise<void> {
  const once = (): Promise<void> =>
    mkdir(directory, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  await once().catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    await mkdir(path.dirname(directory), { recursive: true, mode: 0o700 });
    await once();
  });
}

/** Makes and checks the folder. @throws {UnsupportedError} when it belongs to somebody else. */
export async function openRunRoot(uid: number, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  let failure: unknown;
  for (const directory of candidates(uid, env)) {
    try {
      await make(directory);
      await ours(directory, uid);
      return directory;
    } catch (error) {
      if (error instanceof CtrError) throw error;
      failure = error;
    }
  }
  throw syscallErrorFrom(failure, 'make the folder for running containers', { hint: 'name a writable folder in CTR_RUN' });
}
