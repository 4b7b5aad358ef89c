// sd_notify(3) passed through: the manager's socket is put where the program can reach it, and the variable names it.
import { UnsupportedError } from '@ctr/internal/errors';
import type { ProgramOptions, SpawnOptions } from './options.js';

const TARGET = '/run/notify.sock';

/** The options with the socket in them; the same object where there is nothing to pass on. */
export function withNotifySocket<T extends ProgramOptions & Pick<SpawnOptions, 'mounts' | 'namespaces' | 'root'>>(o: T): T {
  const socket = o.notifySocket ? process.env['NOTIFY_SOCKET'] : undefined;
  if (!socket) return o;
  const ownNetwork = o.namespaces?.network !== undefined && o.namespaces.network !== 'host';
  // Abstract names belong to a network namespace (unix(7)).
  if (socket.startsWith('@')) {
    if (ownNetwork) throw new UnsupportedError('notifySocket with an abstract socket', 'the host’s network, or a socket that is a file');
    return { ...o, env: { ...o.env, NOTIFY_SOCKET: socket } };
  }
  if (o.root === undefined) return { ...o, env: { ...o.env, NOTIFY_SOCKET: socket } };
  return {
    ...o,
    env: { ...o.env, NOTIFY_SOCKET: TARGET },
    mounts: [...(o.mounts ?? []), { type: 'bind', source: socket, target: TARGET, recursive: false }],
  };
}
