// Signals through a pidfd, which never comes to mean another process (pidfd_send_signal(2)).
import type { Fd } from '@ctr/internal/fd';
import { callNative } from './native.js';
import { signalNumber } from './signals.js';

const ESRCH = -3;

/** False when the process had already ended. @throws InvalidArgumentError CTR_INVALID_ARGUMENT; SyscallError EPERM. */
export function sendSignal(to: { readonly pid: number; readonly pidfd: Fd; readonly ended: boolean }, signal: string | number): boolean {
  const number = signal === 0 ? 0 : signalNumber(signal);
  if (to.ended) return false;
  try {
    callNative(`send signal ${signal} to process ${to.pid}`, (b) => b.pidfdSendSignal(to.pidfd.fd, number));
    return true;
  } catch (e) {
    if ((e as { errno?: number }).errno === ESRCH) return false;
    throw e;
  }
}
