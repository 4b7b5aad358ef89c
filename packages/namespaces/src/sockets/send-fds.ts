// A message with descriptors to somebody else's Unix socket: what Node's own sockets cannot send. SCM_RIGHTS, unix(7).
import { assertLinux, InvalidArgumentError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { type Bytes, named, slot } from '@ctr/internal/steps';
import { runErrand } from '../namespaces/errand.js';
import { AF, encodeAddress } from './address.js';

const SOCKET = 'socket';
/** Without waiting: a server that does not accept must hold nobody up. */
const STREAM = named(1 | 0x80000 | 0x800, 'SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK');
const NOSIGNAL = named(0x4000, 'MSG_NOSIGNAL');
const fdSlot = (i: number): string => `sent.${i}`;
/** Less than any socket's buffer (net.core.wmem_default), so that it goes at once and whole. */
const MAX_MESSAGE = 32_768;
/** As many as a plan takes beside its own. */
const MAX_FDS = 32;

/** struct msghdr with one struct iovec and one struct cmsghdr, cmsg(3). */
function messageOf(data: Uint8Array, count: number): Bytes {
  const iov = Buffer.alloc(16);
  iov.writeBigUInt64LE(BigInt(data.length), 8);
  const size = 16 + count * 4;
  const control = Buffer.alloc(Math.ceil(size / 8) * 8);
  control.writeBigUInt64LE(BigInt(size), 0);
  control.writeInt32LE(1, 8); // SOL_SOCKET
  control.writeInt32LE(1, 12); // SCM_RIGHTS
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(BigInt(control.length), 40);
  const fds = Array.from({ length: count }, (_, i) => ({ at: 16 + 4 * i, value: slot(fdSlot(i)) }));
  return {
    bytes: header,
    text: `{${data.length} bytes, SCM_RIGHTS ${count}}`,
    patches: [
      { at: 16, value: { bytes: iov, patches: [{ at: 0, value: { bytes: data } }] } },
      { at: 32, value: { bytes: control, patches: fds } },
    ],
  };
}

/**
 * Connects to a Unix stream socket, sends one message with descriptors, and closes the connection. The descriptors stay the
 * caller's; the receiver has copies of its own.
 *
 * @param path Absolute, on this host; or a name of this network namespace after a NUL character.
 * @param data 1 to 32768 bytes, which go with the descriptors.
 * @param fds 1 to 32.
 * @param doing The beginning of an error's message; default 'send descriptors to <path>'.
 * @throws InvalidArgumentError CTR_INVALID_ARGUMENT; SyscallError of `connect` (ENOENT, ECONNREFUSED, EACCES; EAGAIN when the
 * server does not accept what waits) or of `sendmsg`.
 * @see <https://man7.org/linux/man-pages/man7/unix.7.html>
 * @example
 * ```ts
 * using file = Fd.of(openSync('/etc/hostname', 'r'))
 * await sendFds('/run/receiver.sock', Buffer.from('a file'), [file])
 * ```
 */
export async function sendFds(path: string, data: Uint8Array, fds: readonly Fd[], doing = `send descriptors to ${path}`): Promise<void> {
  if (typeof path !== 'string') throw new InvalidArgumentError('path', 'the path of a Unix socket', path);
  if (!(data instanceof Uint8Array) || data.length === 0 || data.length > MAX_MESSAGE)
    throw new InvalidArgumentError('data', `1 to ${MAX_MESSAGE} bytes`, data);
  if (!Array.isArray(fds) || fds.length === 0 || fds.length > MAX_FDS || !fds.every((fd) => Fd.is(fd) && !fd.closed))
    throw new InvalidArgumentError('fds', `1 to ${MAX_FDS} open Fds`, fds);
  const address = encodeAddress('unix', { path });
  assertLinux('sendFds()');
  await runErrand({
    doing,
    fds: Object.fromEntries(fds.map((fd, i) => [fdSlot(i), fd.fd])),
    steps: [
      { call: 'socket', args: [named(AF.unix, 'AF_UNIX'), STREAM, 0], into: SOCKET },
      { call: 'connect', args: [slot(SOCKET), address, address.bytes.length], path },
      { call: 'sendmsg', args: [slot(SOCKET), messageOf(data, fds.length), NOSIGNAL], path },
    ],
    give: [],
  });
}
