// Starts a further program in a running container.
import { type CgroupDirectories, describeEnter, openCgroup } from '@ctr/cgroups';
import { AbortError, errnoNumber, SyscallError } from '@ctr/internal/errors';
import { type ContainerProcess, enter } from '@ctr/namespaces';
import { readFileInRoot } from '@ctr/overlayfs';
import { hintSource } from './hints.js';
import { compileExec } from './oci/compile-exec.js';
import { compiledFilter } from './oci/seccomp.js';
import { toProgramOptions } from './oci/to-spawn.js';
import type { OciSpec } from './oci/types.js';
import type { ExecSpec } from './options/run-schema.js';
import { RunningProcess } from './running-process.js';
import { planStdio } from './stdio.js';
import { type ResolvedUser, resolveUser } from './user/resolve-user.js';

/** What exec() has to know of the container. */
export interface ExecTarget {
  readonly name: string;
  readonly process: ContainerProcess;
  readonly oci: OciSpec;
  readonly directories: CgroupDirectories;
}

const MAX_USER_FILE = 2 ** 20;

/** Users as the running container has them; its root is read like an image's, as bytes of a stranger. */
async function userOf(target: ExecTarget, spec: ExecSpec): Promise<ResolvedUser | undefined> {
  if (spec.user === undefined) return undefined;
  return resolveUser(spec.user, (path) => readFileInRoot([`/proc/${target.process.pid}/root`], path, { maxBytes: MAX_USER_FILE }));
}

/** Kills at the memory limit so far; the difference tells whether one of them was this program's. */
async function oomKills(directories: CgroupDirectories): Promise<number> {
  try {
    return (await openCgroup(directories).stats()).memory?.oomKills ?? 0;
  } catch {
    // The container ended together with the program, and its counters with it: what it reports itself is kept.
    return 0;
  }
}

export async function startExec(target: ExecTarget, command: readonly string[], spec: ExecSpec): Promise<RunningProcess> {
  const doing = `run ${JSON.stringify(command[0])} in container ${JSON.stringify(target.name)}`;
  if (target.process.ended) {
    throw new SyscallError({ errno: errnoNumber('ESRCH'), syscall: 'setns', doing }, { hint: 'the container has ended' });
  }
  if (spec.signal?.aborted) throw new AbortError(doing, spec.signal.reason);
  const process = compileExec(target.oci.process, command, spec, await userOf(target, spec));
  const stdio = planStdio(spec);
  const before = 'memory' in target.directories ? oomKills(target.directories) : Promise.resolve(0);
  const entry = describeEnter(target.directories);
  const started = await enter(target.process, {
    ...toProgramOptions(process, compiledFilter(target.oci)),
    doing,
    stdio: stdio.stdio,
    cgroup: { ...entry, collect: [], cleanup: [] },
    hints: hintSource({ root: 'the container', rootless: false }),
  });
  const wasOom = async (): Promise<boolean> => (await oomKills(target.directories)) > (await before);
  return new RunningProcess({ process: started, command: process.args, spec, stdio, directories: {}, wasOom });
}
