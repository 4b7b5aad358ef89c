// Tries something by starting a process that is not there: when execve is what fails, everything before it worked.
import { CtrError } from '@ctr/internal/errors';
import { type SpawnOptions, StartError, spawn } from '@ctr/namespaces';

/** One thing that containers need of a host. */
export interface Feature {
  readonly ok: boolean;
  /** Why not, or what is there. */
  readonly why?: string;
  /** What to do about it. */
  readonly cure?: string;
}

/** A path that cannot exist: procfs makes no such file. */
const NOWHERE = '/proc/no-such-program';

/** What went wrong on the way to execve, or ok. */
export async function tryStart(options: Omit<SpawnOptions, 'args'>): Promise<Feature> {
  try {
    await using process = await spawn({ ...options, args: [NOWHERE], stdio: ['ignore', 'ignore', 'ignore'] });
    await process.exited;
    return { ok: true };
  } catch (error) {
    if (error instanceof StartError && error.syscall === 'execve') return { ok: true };
    return featureOf(error);
  }
}

/** An error as an answer. */
export function featureOf(error: unknown): Feature {
  const message = (error as Error).message.split('\n')[0] ?? '';
  const cure = error instanceof CtrError ? error.hint : undefined;
  return { ok: false, why: message, ...(cure === undefined ? {} : { cure }) };
}
