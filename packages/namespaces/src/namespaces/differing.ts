// Which namespaces of a process are not ours.
import { statSync } from 'node:fs';
import { syscallErrorFrom } from '@ctr/internal/errors';
import { NAMESPACE_FILE, NAMESPACE_KINDS, type NamespaceKind } from '../plan/clone-flags.js';

/**
 * The kinds of namespaces in which a process differs from this one.
 * @throws SyscallError ENOENT when there is no such process, EACCES when it belongs to somebody else.
 */
export function differingNamespaces(pid: number): NamespaceKind[] {
  const inode = (who: number | 'self', kind: NamespaceKind) => statSync(`/proc/${who}/ns/${NAMESPACE_FILE[kind]}`, { bigint: true }).ino;
  try {
    return NAMESPACE_KINDS.filter((kind) => inode(pid, kind) !== inode('self', kind));
  } catch (e) {
    throw syscallErrorFrom(e, `look at the namespaces of process ${pid}`, { hint: 'the process has ended, or belongs to somebody else' });
  }
}
