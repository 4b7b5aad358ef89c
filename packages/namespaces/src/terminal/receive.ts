// Takes the terminal that the new process made and handed over, before anybody sees the process.
import { fstatSync } from 'node:fs';
import { SyscallError } from '@ctr/internal/errors';
import { callNative, closeFds } from '../native.js';
import type { ContainerProcess } from '../process.js';
import type { TerminalSize } from './size.js';
import { Terminal } from './terminal.js';

/** Unix98 pty masters, and the first and last major of their other ends (Documentation/admin-guide/devices.txt). */
const MASTER = 5 * 256 + 2;
const SLAVES = [136, 143] as const;
const NOT_A_TERMINAL = { errno: 25, syscall: 'ioctl', path: '/dev/ptmx', doing: 'receive the terminal' };

/**
 * SECURITY: in a running container /dev/ptmx is whatever its programs have made of it. What came is looked at before
 * anything is read from it or written to it.
 */
function isTerminal([master, slave]: readonly number[]): boolean {
  if (master === undefined || slave === undefined) return false;
  const [m, s] = [fstatSync(master), fstatSync(slave)];
  // The major number's low twelve bits lie above the minor's low eight (new_encode_dev in the kernel).
  const major = (s.rdev >> 8) & 0xfff;
  return m.isCharacterDevice() && m.rdev === MASTER && s.isCharacterDevice() && major >= SLAVES[0] && major <= SLAVES[1];
}

/** The process with its terminal; when that is not to be had, the process is killed. */
export async function receiveTerminal(
  socket: number,
  size: TerminalSize,
  make: (terminal: Terminal | undefined) => ContainerProcess,
): Promise<ContainerProcess> {
  let fds: number[] = [];
  try {
    fds = callNative('receive the terminal', (b) => b.receiveFds(socket) ?? []);
    if (!isTerminal(fds)) throw new SyscallError(NOT_A_TERMINAL, { hint: 'somebody inside has put something else in its place' });
    const [master, slave, ...more] = fds as [number, number, ...number[]];
    closeFds(more);
    return make(new Terminal(master, slave, size));
  } catch (e) {
    closeFds(fds);
    await make(undefined)[Symbol.asyncDispose]();
    throw e;
  }
}
