// Errno names, numbers and texts, in Node's convention: `errno` is negative.
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';

/** The kernel's own errnos that libuv has no name for. */
const EXTRA: Record<string, number> = { ENOTBLK: 15, EUSERS: 87, ESTALE: 116, EDQUOT: 122, ENOKEY: 126, EBADE: 52, EUCLEAN: 117 };

const NUMBERS: ReadonlyMap<string, number> = new Map([...Object.entries(constants.errno), ...Object.entries(EXTRA)]);
const NAMES: ReadonlyMap<number, string> = new Map([...NUMBERS].map(([name, n]) => [n, name] as const));

/** 'ENOENT' -> 2. Throws on an unknown name: a typing error in our own code. */
export function errnoNumber(name: string): number {
  const n = NUMBERS.get(name);
  if (n === undefined) throw new TypeError(`unknown errno name ${name}`);
  return n;
}

/** 2 or -2 -> 'ENOENT'. */
export function errnoName(errno: number): string {
  const n = Math.abs(errno);
  if (process.platform === 'linux') {
    try {
      const libuv = getSystemErrorName(-n);
      if (!libuv.startsWith('Unknown')) return libuv;
    } catch {
      // out of libuv's range: fall through to our own table
    }
  }
  return NAMES.get(n) ?? `E${n}`;
}

const TEXTS: Record<string, string> = {
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or directory',
  ESRCH: 'no such process',
  EINTR: 'interrupted',
  EIO: 'input/output error',
  E2BIG: 'argument list too long',
  ENOEXEC: 'exec format error',
  EBADF: 'bad file descriptor',
  ECHILD: 'no child processes',
  EAGAIN: 'resource temporarily unavailable',
  ENOMEM: 'out of memory',
  EACCES: 'permission denied',
  EFAULT: 'bad address',
  EBUSY: 'device or resource busy',
  EEXIST: 'file exists',
  EXDEV: 'crosses a mount point or file system',
  ENODEV: 'no such device or file system type',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  EINVAL: 'invalid argument',
  ENFILE: 'too many open files in the system',
  EMFILE: 'too many open files in the process',
  ETXTBSY: 'text file busy',
  EFBIG: 'file too large',
  ENOSPC: 'no space left',
  ESPIPE: 'illegal seek',
  EROFS: 'read-only file system',
  EMLINK: 'too many links',
  EADDRINUSE: 'address already in use',
  EADDRNOTAVAIL: 'address not available',
  EAFNOSUPPORT: 'address family not supported',
  EPROTONOSUPPORT: 'protocol not supported',
  EPIPE: 'broken pipe',
  ERANGE: 'out of range',
  ENAMETOOLONG: 'name too long',
  ENOSYS: 'system call not available',
  ENOTEMPTY: 'directory not empty',
  ELOOP: 'too many symbolic links',
  EOPNOTSUPP: 'operation not supported',
  ENOTSUP: 'operation not supported',
  EUSERS: 'too many user namespaces',
  EDQUOT: 'disk quota exceeded',
  ETIMEDOUT: 'timed out',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
};

/** 'ENOENT' -> 'no such file or directory'. */
export const errnoText = (code: string): string => TEXTS[code] ?? 'failed';
