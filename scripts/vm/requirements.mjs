// What the test machine needs of this one, and the reason when something is missing.
import { spawnSync } from 'node:child_process';
import { find, installLine, MACHINE, missing, packagesOf, SYSTEMD } from '../tools.mjs';
import { ensureKernel } from './kernel.mjs';

/** { kernel } when the machine can be started, else { reason }: what is missing and the cure, in one line. */
export async function requirements() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return { reason: `the test machine runs on Linux on x64 only, this is ${process.platform} on ${process.arch}` };
  const lacking = missing(MACHINE);
  if (lacking.length > 0) return { reason: `needs ${lacking.join(', ')}: ${installLine(packagesOf(MACHINE, lacking))}` };
  if (['apt-get', 'apt-cache', 'dpkg-deb'].some((p) => find(p) === undefined))
    return { reason: 'needs a Debian-like system: the kernel comes from its package sources' };
  if (spawnSync('setpriv', ['--pdeathsig', 'KILL', 'true']).status !== 0)
    return { reason: 'needs util-linux 2.33 or newer: setpriv --pdeathsig' };
  try {
    return { kernel: await ensureKernel() };
  } catch (error) {
    return { reason: `needs Debian's kernel: ${error.message.trim().replace(/\s*\n\s*/g, '; ')}` };
  }
}

/** Why the machine cannot be booted with systemd, in one line; undefined when it can: it takes this host's. */
export function withoutSystemd() {
  const lacking = missing(SYSTEMD);
  return lacking.length === 0 ? undefined : `needs ${lacking.join(', ')}: ${installLine(packagesOf(SYSTEMD, lacking))}`;
}
