// A namespace held by a descriptor: as long as that is open it stays, with or without processes in it.
import { closeSync, constants as fsConstants, fstatSync, openSync } from 'node:fs';
import { assertLinux, InvalidArgumentError, SyscallError, syscallErrorFrom } from '@ctr/internal/errors';
import { Fd, type FdOwner } from '@ctr/internal/fd';
import { callNative, NATIVE_FDS, native } from '../native.js';
import { CLONE_FLAG_OF, CLONE_FLAGS, NAMESPACE_FILE, NAMESPACE_KINDS, type NamespaceKind } from '../plan/clone-flags.js';

/** A process as `spawn`, `enter`, `openProcess` or a container has it. With a `pidfd` it cannot be mistaken for another. */
export interface ProcessLike {
  readonly pid: number;
  readonly pidfd?: Fd | undefined;
}

/** What names a namespace: a process (or its pid), a path such as /run/netns/blue, or a descriptor. */
export type NamespaceSource = number | string | Fd | ProcessLike;

const HAS_PARENT: readonly NamespaceKind[] = ['pid', 'user'];
const ENOTTY = -25;
const EPERM = -1;

const kindOfFlag = (flag: number): NamespaceKind | undefined => NAMESPACE_KINDS.find((k) => CLONE_FLAGS[CLONE_FLAG_OF[k]] === flag);

/** Null where the kernel says that it lies outside of what this process may see (ioctl_ns(2), EPERM). */
function related(doing: string, look: () => number): Namespace | null {
  try {
    return namespaceOf(look(), NATIVE_FDS);
  } catch (e) {
    if ((e as { errno?: number }).errno === EPERM) return null;
    const f = e as { errno?: number; syscall?: string };
    if (typeof f.errno !== 'number' || e instanceof SyscallError) throw e;
    throw new SyscallError({ errno: f.errno, syscall: f.syscall ?? 'ioctl', doing });
  }
}

/**
 * An open namespace: a descriptor that keeps it alive (pin), until `close()` or the end of `using` (release). It can be
 * given wherever a namespace to join is wanted.
 *
 * @see <https://man7.org/linux/man-pages/man2/ioctl_ns.2.html>
 */
export class Namespace extends Fd {
  readonly kind: NamespaceKind;
  /** Its inode: the number that `readlink /proc/<pid>/ns/net` and lsns(8) show. */
  readonly id: number;
  readonly #device: bigint;

  /** @internal Takes the descriptor. */
  constructor(fd: number, owner: FdOwner | undefined, kind: NamespaceKind, id: number, device: bigint) {
    super(fd, owner);
    this.kind = kind;
    this.id = id;
    this.#device = device;
  }

  /** Whether both are the same namespace, however they were opened. */
  equals(other: Namespace): boolean {
    return this.kind === other.kind && this.id === other.id && this.#device === other.#device;
  }

  /**
   * The user namespace that owns it: rights in that one are rights over this one. For the caller to close.
   * `null` when it lies outside of the caller's own. (NS_GET_USERNS)
   */
  owner(): Namespace | null {
    return related(`look at the owner of ${this}`, () => native().namespaceOwner(this.fd));
  }

  /**
   * The namespace around a pid or user namespace. For the caller to close. `null` for the outermost, for one whose parent
   * lies outside of the caller's own, and for all other kinds, which have none. (NS_GET_PARENT)
   */
  parent(): Namespace | null {
    if (!HAS_PARENT.includes(this.kind)) return null;
    return related(`look at the parent of ${this}`, () => native().namespaceParent(this.fd));
  }

  /** The user who made a user namespace, as this process sees him; `undefined` for other kinds. (NS_GET_OWNER_UID) */
  ownerUid(): number | undefined {
    if (this.kind !== 'user') return undefined;
    return callNative(`look at the owner of ${this}`, (b) => b.namespaceOwnerUid(this.fd));
  }

  /** As readlink shows it: 'net:[4026531840]'. */
  override toString(): string {
    return `${NAMESPACE_FILE[this.kind]}:[${this.id}]`;
  }
}

/** Takes the descriptor; it is closed when it is none of a namespace. */
function namespaceOf(fd: number, owner?: FdOwner): Namespace {
  try {
    const kind = kindOfFlag(native().namespaceType(fd));
    if (kind === undefined) throw new InvalidArgumentError('namespace', 'a namespace of a known kind', fd);
    const { ino, dev } = fstatSync(fd, { bigint: true });
    return new Namespace(fd, owner, kind, Number(ino), dev);
  } catch (e) {
    if (owner) owner.close(fd);
    else closeSync(fd);
    throw e;
  }
}

function openFile(path: string, doing: string, hint?: string): Namespace {
  let fd: number;
  try {
    // Without waiting: a path that is a FIFO must not hold up anybody.
    fd = openSync(path, fsConstants.O_RDONLY | fsConstants.O_NONBLOCK);
  } catch (e) {
    throw syscallErrorFrom(e, doing, hint === undefined ? {} : { hint });
  }
  try {
    return namespaceOf(fd);
  } catch (e) {
    if ((e as { errno?: number }).errno !== ENOTTY) throw e;
    throw new InvalidArgumentError('namespace', 'the path of a namespace, such as /run/netns/name or /proc/<pid>/ns/net', path);
  }
}

const ENDED = 'the process has ended, or belongs to somebody else';

function ofProcess({ pid, pidfd }: ProcessLike, kind: NamespaceKind): Namespace {
  if (!Number.isInteger(pid) || pid <= 0) throw new InvalidArgumentError('namespace', 'a process or its pid', pid);
  const doing = `open the ${kind} namespace of process ${pid}`;
  const opened = openFile(`/proc/${pid}/ns/${NAMESPACE_FILE[kind]}`, doing, ENDED);
  // Still alive after the look: then the number meant this process all the while.
  if (pidfd !== undefined && (pidfd.closed || native().pidfdEnded(pidfd.fd))) {
    opened.close();
    throw new SyscallError({ errno: 3, syscall: 'open', doing }, { hint: 'the process has ended' });
  }
  return opened;
}

/**
 * Opens a namespace, which pins it: it outlives its last process until the descriptor is closed.
 *
 * @param source A process, a pid, a path, or a descriptor (which is copied).
 * @param kind Which of a process's namespaces; for a path or descriptor it is what must be found there, `undefined`: any.
 * @throws InvalidArgumentError CTR_INVALID_ARGUMENT for what is no namespace or one of another kind; SyscallError ENOENT or
 * ESRCH when there is no such process, EACCES when it belongs to somebody else.
 * @see <https://man7.org/linux/man-pages/man7/namespaces.7.html>
 * @example
 * ```ts
 * using net = openNamespace(process.pid, 'network')
 * console.log(`${net}`, net.ownerUid()) // net:[4026531840] undefined
 * ```
 */
export function openNamespace(source: NamespaceSource, kind?: NamespaceKind): Namespace {
  assertLinux('openNamespace()');
  const opened = openSource(source, kind);
  if (kind === undefined || opened.kind === kind) return opened;
  opened.close();
  throw new InvalidArgumentError('namespace', `a ${kind} namespace`, `${opened.kind} namespace`);
}

function openSource(source: NamespaceSource, kind: NamespaceKind | undefined): Namespace {
  if (typeof source === 'string') return openFile(source, `open the ${kind ?? ''} namespace ${source}`.replace('  ', ' '));
  if (Fd.is(source)) return ofDescriptor(source);
  if (kind === undefined) throw new InvalidArgumentError('kind', `one of ${NAMESPACE_KINDS.join(', ')}`, kind);
  return ofProcess(typeof source === 'number' ? { pid: source } : source, kind);
}

function ofDescriptor(source: Fd): Namespace {
  const copy = callNative('open a namespace', (b) => b.dup(source.fd));
  try {
    return namespaceOf(copy, NATIVE_FDS);
  } catch (e) {
    if ((e as { errno?: number }).errno !== ENOTTY) throw e;
    throw new InvalidArgumentError('namespace', 'the descriptor of a namespace', source.fd);
  }
}

/** Of a descriptor that the addon made. @internal */
export const adoptNamespace = (fd: number): Namespace => namespaceOf(fd, NATIVE_FDS);
