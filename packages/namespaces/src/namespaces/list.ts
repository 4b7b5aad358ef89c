// What namespaces there are: of one process, and all on the host with their processes, as lsns(8) shows them.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { assertLinux, InvalidArgumentError, syscallErrorFrom } from '@ctr/internal/errors';
import { NAMESPACE_FILE, NAMESPACE_KINDS, type NamespaceKind } from '../plan/clone-flags.js';
import { type Namespace, openNamespace, type ProcessLike } from './namespace.js';

/** A namespace by its kind and inode, without holding it. */
export interface NamespaceId {
  readonly kind: NamespaceKind;
  /** The inode, as in net:[4026531840]. */
  readonly id: number;
}

/** A namespace of the host, as {@link listNamespaces} finds it. */
export interface NamespaceInfo extends NamespaceId {
  /** The processes in it, in ascending order; empty when only a mount or a namespace below it keeps it. */
  readonly pids: readonly number[];
  /** The inode of the user namespace that owns it; `undefined` when that lies outside of this process's. */
  readonly owner: number | undefined;
  /** The inode of the pid or user namespace around it; `undefined` for others, and outside of this process's own. */
  readonly parent: number | undefined;
  /** For a user namespace: the uid that made it, as this process sees it. */
  readonly ownerUid: number | undefined;
  /** Where it is mounted, such as /run/netns/blue. */
  readonly mounts: readonly string[];
}

export interface ListNamespacesOptions {
  /** Only these kinds; `undefined`: all eight. */
  kinds?: readonly NamespaceKind[];
}

const LINK = /^\w+:\[(\d+)\]$/;
/** So many processes are looked at in one turn of the event loop: about a millisecond. */
const PER_TURN = 50;

/** By the link of procfs, without opening it. */
export function namespaceId(pid: number | 'self', kind: NamespaceKind): number {
  const link = readlinkSync(`/proc/${pid}/ns/${NAMESPACE_FILE[kind]}`);
  return Number(LINK.exec(link)?.[1]);
}

/**
 * The namespaces that a process is in.
 *
 * @param process A process, its pid, or 'self' (the default) for this one.
 * @throws SyscallError ENOENT when there is no such process, EACCES when it belongs to somebody else.
 * @see <https://man7.org/linux/man-pages/man7/namespaces.7.html>
 * @example
 * ```ts
 * const shares = namespacesOf(1).network === namespacesOf().network
 * ```
 */
export function namespacesOf(process: number | 'self' | ProcessLike = 'self'): Readonly<Record<NamespaceKind, number>> {
  assertLinux('namespacesOf()');
  const pid = typeof process === 'object' ? process.pid : process;
  if (pid !== 'self' && (!Number.isInteger(pid) || pid <= 0)) throw new InvalidArgumentError('process', 'a process or its pid', process);
  try {
    return Object.fromEntries(NAMESPACE_KINDS.map((kind) => [kind, namespaceId(pid, kind)])) as Record<NamespaceKind, number>;
  } catch (e) {
    throw syscallErrorFrom(e, `look at the namespaces of process ${pid}`, { hint: 'the process has ended, or belongs to somebody else' });
  }
}

interface Found {
  kind: NamespaceKind;
  id: number;
  pids: number[];
  mounts: string[];
  owner: number | undefined;
  parent: number | undefined;
  ownerUid: number | undefined;
  /** Its relations have been looked at. */
  known: boolean;
}

class Census {
  readonly #found = new Map<string, Found>();
  readonly #kinds: readonly NamespaceKind[];

  constructor(kinds: readonly NamespaceKind[]) {
    this.#kinds = kinds;
  }

  #at(kind: NamespaceKind, id: number): Found {
    const key = `${kind} ${id}`;
    let found = this.#found.get(key);
    if (found === undefined) {
      found = { kind, id, pids: [], mounts: [], owner: undefined, parent: undefined, ownerUid: undefined, known: false };
      this.#found.set(key, found);
    }
    return found;
  }

  process(pid: number): void {
    for (const kind of this.#kinds)
      try {
        const found = this.#at(kind, namespaceId(pid, kind));
        found.pids.push(pid);
        if (!found.known) this.#relate(openNamespace(pid, kind));
      } catch {
        // Ended in between, or somebody else's.
        return;
      }
  }

  mount(path: string): void {
    try {
      const namespace = openNamespace(path);
      const { kind, id } = namespace;
      if (this.#kinds.includes(kind)) this.#at(kind, id).mounts.push(path);
      this.#relate(namespace);
    } catch {
      // Covered by another mount, or gone.
    }
  }

  /** Looks at what is around it, up to the outermost; those are namespaces too, even without a process in them. Closes it. */
  #relate(namespace: Namespace): void {
    using it = namespace;
    if (!this.#kinds.includes(it.kind)) return;
    const found = this.#at(it.kind, it.id);
    if (found.known) return;
    found.known = true;
    found.ownerUid = it.ownerUid();
    for (const relation of ['owner', 'parent'] as const) {
      const other = it[relation]();
      if (other === null) continue;
      found[relation] = other.id;
      this.#relate(other);
    }
  }

  all(): NamespaceInfo[] {
    const order = (f: NamespaceId): number => NAMESPACE_KINDS.indexOf(f.kind);
    return [...this.#found.values()]
      .sort((a, b) => order(a) - order(b) || a.id - b.id)
      .map(({ known, ...info }) => info satisfies NamespaceInfo);
  }
}

/** proc(5), mountinfo: the fourth field is the root of the mount, the fifth where it is. */
function namespaceMounts(): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.flatMap((line) => {
    const fields = line.split(' ');
    if (!LINK.test(fields[3] ?? '')) return [];
    return [(fields[4] as string).replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))];
  });
}

/**
 * All namespaces of the host that this process may look at, with the processes in them, their owners and parents:
 * what lsns(8) lists, and those that only a mount keeps (`ip netns add`).
 *
 * Processes of others are left out without root. Looks at /proc in short turns, so that the event loop goes on.
 *
 * @throws InvalidArgumentError CTR_INVALID_ARGUMENT; UnsupportedError CTR_UNSUPPORTED on other systems than Linux.
 * @see <https://man7.org/linux/man-pages/man8/lsns.8.html>
 * @example
 * ```ts
 * for (const ns of await listNamespaces({ kinds: ['network'] })) console.log(ns.id, ns.pids.length, ns.mounts)
 * ```
 */
export async function listNamespaces(options: ListNamespacesOptions = {}): Promise<NamespaceInfo[]> {
  assertLinux('listNamespaces()');
  const kinds = options.kinds ?? NAMESPACE_KINDS;
  const unknown = kinds.find((k) => !NAMESPACE_KINDS.includes(k));
  if (unknown !== undefined) throw new InvalidArgumentError('kinds', `of ${NAMESPACE_KINDS.join(', ')}`, unknown);
  const census = new Census(kinds);
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  for (let i = 0; i < pids.length; i++) {
    if (i % PER_TURN === PER_TURN - 1) await setImmediate();
    census.process(pids[i] as number);
  }
  for (const path of namespaceMounts()) census.mount(path);
  return census.all();
}
