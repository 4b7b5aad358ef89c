// Who made a temporary name or a lock: a token that tells a live owner from a dead one, also after its pid was given away.
import { readFileSync, readlinkSync } from 'node:fs';

let own: string | undefined;

const readProc = (file: string): string | undefined => {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return undefined;
  }
};

/** Field 22 of /proc/pid/stat: clock ticks from boot to the start of the process. The name before it may hold anything. */
function startTime(pid: number | 'self'): string | undefined {
  const stat = readProc(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

const bootId = (): string => readProc('/proc/sys/kernel/random/boot_id')?.slice(0, 8) ?? 'noboot';

function pidNamespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  } catch {
    return '0';
  }
}

/** This process: boot, pid namespace, pid, start time. Only letters, digits and dashes, so it fits into a file name. */
export function ownerToken(): string {
  own ??= [bootId(), pidNamespace(), process.pid, startTime('self') ?? '0'].join('-');
  return own;
}

/** What can be told of an owner from here. */
export type Verdict = 'alive' | 'dead' | 'out of sight';

/**
 * Dead only when the owner is certainly gone: another boot, no such pid, or the pid began at another time. The pids of another pid
 * namespace mean nothing here. What is no token of ours counts as alive.
 */
export function judge(token: string): Verdict {
  const match = /^([0-9a-z]+)-(\d+)-(\d+)-(\d+)$/.exec(token);
  if (match === null) return 'alive';
  const [, boot, namespace, pid, start] = match;
  if (boot !== bootId()) return 'dead';
  if (namespace !== pidNamespace()) return 'out of sight';
  const alive = (is: boolean): Verdict => (is ? 'alive' : 'dead');
  if (pid === String(process.pid)) return alive(start === (startTime('self') ?? '0'));
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return 'dead';
  }
  const now = startTime(Number(pid));
  return alive(now === undefined || now === start);
}

/** False only when the owner is certainly gone. */
export const isAlive = (token: string): boolean => judge(token) !== 'dead';
