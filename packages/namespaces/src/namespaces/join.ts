// The namespaces that a start is to join, opened: whatever names one becomes a descriptor, and it is found out on which
// side of the change of user namespace each must be joined.
import { assertLinux, SyscallError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { callNative, NATIVE_FDS } from '../native.js';
import { NAMESPACE_KINDS, type NamespaceKind } from '../plan/clone-flags.js';
import { namespaceId } from './list.js';
import { type Namespace, type NamespaceSource, openNamespace, type ProcessLike } from './namespace.js';

/** For each kind: a new one, the one that this process is in, or one to join. */
export type NamespaceChoice = 'new' | 'host' | NamespaceSource;

const ESRCH = 3;

/** True for what is to be joined. */
export const isJoined = (choice: NamespaceChoice | undefined): choice is NamespaceSource =>
  choice !== undefined && choice !== 'new' && choice !== 'host';

/** True for what is not open yet: a pid, a path, a process. */
const isNamed = (choice: NamespaceChoice | undefined): boolean => isJoined(choice) && !Fd.is(choice);

type Choices = Readonly<Partial<Record<NamespaceKind, NamespaceChoice>>>;

/** Opened for one start. */
export interface Joined {
  /** Those that were opened here, by the slot of the plan. */
  readonly fds: Readonly<Record<string, number>>;
  /** To be joined while this process's own user namespace is still the one that gives the rights. */
  readonly before: ReadonlySet<NamespaceKind>;
  /** This process is in the user namespace already: the kernel refuses to join it again (setns(2), EINVAL). */
  readonly sameUser: boolean;
  close(): void;
}

/** A pidfd stands for all namespaces of its process (setns(2)), without a look at a number that may be another's by now. */
function openSource(kind: NamespaceKind, source: NamespaceSource): Fd {
  const pidfd = (source as ProcessLike).pidfd;
  if (typeof source !== 'object' || Fd.is(source) || pidfd === undefined) return openNamespace(source, kind);
  const doing = `join the ${kind} namespace of process ${source.pid}`;
  if (pidfd.closed) throw new SyscallError({ errno: ESRCH, syscall: 'setns', doing }, { hint: 'the process has ended' });
  return Fd.of(
    callNative(doing, (b) => b.dup(pidfd.fd)),
    NATIVE_FDS,
  );
}

/** Whether `owner` is the user namespace `user` or lies inside of it. */
function isWithin(owner: Namespace, user: Namespace): boolean {
  if (owner.equals(user)) return true;
  using parent = owner.parent();
  return parent !== null && isWithin(parent, user);
}

/** What cannot be looked at is left to setns, which says what is wrong with it. */
function tryOpen(source: NamespaceSource, kind: NamespaceKind): Namespace | undefined {
  try {
    return openNamespace(source, kind);
  } catch {
    return undefined;
  }
}

/** Those whose owner is outside of the user namespace that is joined: in there the right to join them is gone. */
function ownedOutside(choices: Choices, user: Namespace): Set<NamespaceKind> {
  const before = new Set<NamespaceKind>();
  for (const kind of NAMESPACE_KINDS) {
    const source = choices[kind];
    if (kind === 'user' || !isJoined(source)) continue;
    using namespace = tryOpen(source, kind);
    using owner = namespace?.owner() ?? undefined;
    if (owner !== undefined && !isWithin(owner, user)) before.add(kind);
  }
  return before;
}

/**
 * Opens what is not open yet.
 *
 * @param around The user namespace in which a new one is made; `undefined`: this process's own.
 * @returns Undefined when nothing needs to be opened or looked at, as nearly always.
 */
export function openJoined(choices: Choices | undefined, around?: Namespace): Joined | undefined {
  if (choices === undefined) return undefined;
  const named = NAMESPACE_KINDS.filter((kind) => isNamed(choices[kind]));
  const given = isJoined(choices.user) ? choices.user : undefined;
  const ordered = around !== undefined || given !== undefined;
  if (named.length === 0 && !ordered) return undefined;
  assertLinux('joining namespaces');
  const opened = new Map<NamespaceKind, Fd>();
  try {
    for (const kind of named) opened.set(kind, openSource(kind, choices[kind] as NamespaceSource));
    using target = given === undefined ? undefined : tryOpen(given, 'user');
    const user = around ?? target;
    return {
      fds: Object.fromEntries([...opened].map(([kind, fd]) => [`ns.${kind}`, fd.fd])),
      before: user === undefined ? new Set() : ownedOutside(choices, user),
      sameUser: target !== undefined && target.id === namespaceId('self', 'user'),
      close: () => closeAll(opened),
    };
  } catch (e) {
    closeAll(opened);
    throw e;
  }
}

function closeAll(opened: ReadonlyMap<NamespaceKind, Fd>): void {
  for (const fd of opened.values()) fd.close();
}
