// Reads back the label that was asked for: a kernel or a policy that gives another one has not done what it was told.
import { readFileSync } from 'node:fs';
import { errnoNumber, SyscallError } from '@ctr/internal/errors';
import { native } from '../native.js';
import type { ContainerProcess } from '../process.js';
import { labelFile } from '../steps/security-label.js';
import { labelOf } from './attribute-steps.js';
import type { ProcessAttributes } from './attributes.js';

/** Also when the news of its end are still on their way: its files are gone then, or already another process's. */
const hasEnded = (p: ContainerProcess): boolean => p.ended || p.pidfd.closed || native().pidfdEnded(p.pidfd.fd);

/** The process, if it runs under what was asked for; it is killed otherwise. */
export async function verifyLabel(p: ContainerProcess, o: ProcessAttributes): Promise<ContainerProcess> {
  const wanted = labelOf(o);
  if (wanted === undefined || p.ended) return p;
  const file = `/proc/${p.pid}/${labelFile(wanted.lsm, 'current')}`;
  try {
    // AppArmor tells the mode too: 'profile (enforce)'.
    const found = readFileSync(file, 'latin1').replace(/[\0\n]+$/, '');
    if (found === wanted.label || found.startsWith(`${wanted.label} (`) || hasEnded(p)) return p;
    throw new SyscallError(
      { errno: errnoNumber('EPERM'), syscall: 'execve', path: file, doing: `run under ${wanted.label}` },
      { hint: `the kernel put it under ${JSON.stringify(found)}: look at the policy's rules for transitions` },
    );
  } catch (e) {
    if (hasEnded(p)) return p;
    await p[Symbol.asyncDispose]();
    throw e;
  }
}
