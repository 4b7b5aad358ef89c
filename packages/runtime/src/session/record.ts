// The record of a session: a folder with a lock and a note of what exists in its name. The monitor makes it before
// anything else, holds the lock for life, and removes it last; whoever gets the lock knows that the session is dead.
import { named, type Step, slot } from '@ctr/internal/steps';

/** What a session may leave behind when even its monitor is killed. */
export interface Intent {
  readonly version: 1;
  readonly nonce: string;
  /** Of /proc/sys/kernel/random/boot_id: cgroups of another boot are gone by themselves. */
  readonly bootId: string;
  /** Directories of the session's parent cgroup, innermost first. */
  readonly cgroups: readonly string[];
  /** The folder of its writable layers. */
  readonly uppers: string;
}

export const NONCE = /^[0-9a-f]{16}$/;
export const cgroupName = (nonce: string): string => `ctr.${nonce}`;
export const LOCK_FILE = 'lock';
export const INTENT_FILE = 'intent.json';

const AT_FDCWD = named(-100, 'AT_FDCWD');
// O_CREAT, O_EXCL and O_CLOEXEC are the same on x86-64 and arm64.
const CREATE = named(0o2000302, 'O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC');
const LOCK_EX_NB = named(6, 'LOCK_EX|LOCK_NB');
const LOCK = 'session.lock';
const NOTE = 'session.intent';

/**
 * Makes the folder, locks it, and writes the note. A collector may come between making and locking and take the
 * folder away: then the last look finds nothing, and the caller tries another name.
 */
export function describeRecord(directory: string, intent: Intent): Step[] {
  const doing = 'open the session record';
  const lock = `${directory}/${LOCK_FILE}`;
  const text = `${JSON.stringify(intent)}\n`;
  return [
    { call: 'mkdirat', args: [AT_FDCWD, directory, named(0o700, '0700')], doing },
    { call: 'openat', args: [AT_FDCWD, lock, CREATE, named(0o600, '0600')], into: LOCK, doing },
    { call: 'flock', args: [slot(LOCK), LOCK_EX_NB], doing, path: lock },
    { call: 'openat', args: [AT_FDCWD, `${directory}/${INTENT_FILE}`, CREATE, named(0o600, '0600')], into: NOTE, doing },
    { call: 'write', args: [slot(NOTE), text, Buffer.byteLength(text)], doing, path: `${directory}/${INTENT_FILE}` },
    { call: 'close', args: [slot(NOTE)], doing },
    { call: 'faccessat', args: [AT_FDCWD, lock, 0], doing },
  ];
}

/** Removes a folder and all in it, by descriptors; a missing one is fine. */
export const removeTreeStep = (directory: string, doing: string): Step => ({
  call: 'remove_tree',
  args: [directory],
  allow: ['ENOENT'],
  doing,
});

/**
 * Takes the session down: the cgroups (innermost first), the writable layers, the record. The record stays as long as
 * one of these does, so that a later collector knows of it.
 */
export function describeEnd(directory: string, { cgroups, uppers }: Pick<Intent, 'cgroups' | 'uppers'>): Step[] {
  const all = [...cgroups, uppers];
  const left = all.map(
    (made, i): Step => ({
      call: 'faccessat',
      args: [AT_FDCWD, made, 0],
      allow: ['ENOENT', 'EACCES'],
      skipOnSuccess: all.length - i,
      doing: `look whether ${made} is gone`,
    }),
  );
  return [
    ...cgroups.map(removeCgroupStep),
    removeTreeStep(uppers, 'remove the writable layers'),
    ...left,
    removeTreeStep(directory, 'remove the session record'),
  ];
}

export const removeCgroupStep = (directory: string): Step => ({
  call: 'unlinkat',
  args: [AT_FDCWD, directory, named(0x200, 'AT_REMOVEDIR')],
  // ENOENT, EACCES, EROFS: it was never made, in part because this user may not.
  allow: ['ENOENT', 'EACCES', 'EROFS'],
  doing: `remove the cgroup ${directory}`,
});

/** Removes one file; a missing one is fine. */
export const removeFileStep = (file: string, doing: string): Step => ({
  call: 'unlinkat',
  args: [AT_FDCWD, file, 0],
  allow: ['ENOENT'],
  doing,
});

/** Reads a note as untrusted text: what does not look exactly like ours is no note. */
export function parseIntent(text: string, nonce: string): Intent | undefined {
  let value: Partial<Intent>;
  try {
    value = JSON.parse(text) as Partial<Intent>;
  } catch {
    return undefined;
  }
  const { version, bootId, cgroups, uppers } = value ?? {};
  if (version !== 1 || value.nonce !== nonce || typeof bootId !== 'string' || typeof uppers !== 'string' || !Array.isArray(cgroups))
    return undefined;
  // Names must be the session's own: a note cannot make a collector remove anything else.
  const fits = (p: unknown): p is string => typeof p === 'string' && p.startsWith('/') && !p.split('/').includes('..');
  if (!cgroups.every((c) => fits(c) && c.split('/').includes(cgroupName(nonce)))) return undefined;
  if (!fits(uppers) || !uppers.endsWith(`/containers/${nonce}`)) return undefined;
  return { version, nonce, bootId, cgroups, uppers };
}
