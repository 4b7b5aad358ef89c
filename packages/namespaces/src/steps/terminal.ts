// A terminal for the program: opened in its own devpts, made its controlling terminal, and handed to Node.
// <https://man7.org/linux/man-pages/man7/pty.7.html>, TIOCSCONS(2const) and its kin in ioctl_tty(2)
import { type Bytes, named, type Step, slot } from '@ctr/internal/steps';
import { DEV_SLOT } from './dev.js';
import { AT_FDCWD, moveMountFlags, O, openFlags, openHow } from './flags.js';
import { cloneSlot } from './mount-steps.js';

/** The slot of the socket over which both ends go to Node. */
export const TTY_SOCKET = 'tty.socket';
const MASTER = 'tty.master';
const SLAVE = 'tty.slave';
const CONSOLE = 'tty.console';

const TIOCSPTLCK = named(0x40045431, 'TIOCSPTLCK');
const TIOCGPTPEER = named(0x5441, 'TIOCGPTPEER');
const TIOCSWINSZ = named(0x5414, 'TIOCSWINSZ');
const TIOCSCTTY = named(0x540e, 'TIOCSCTTY');
/** Node reads and writes its end without ever waiting. */
const MASTER_FLAGS = ['O_RDWR', 'O_NOCTTY', 'O_NONBLOCK', 'O_CLOEXEC'] as const;
const DOING = 'make the terminal';

export interface TerminalSteps {
  /** Slot of the container's own devpts; without it /dev/ptmx is opened. */
  devpts?: string | undefined;
  columns: number;
  rows: number;
  /** The user that the terminal is to belong to, where that is another than its maker. */
  uid?: number | undefined;
  /** Show it as /dev/console too, in the /dev that was made before. */
  console: boolean;
}

function windowSize(o: TerminalSteps): Bytes {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(o.rows, 0);
  bytes.writeUInt16LE(o.columns, 2);
  return { bytes, text: `{${o.columns}x${o.rows}}` };
}

/** struct msghdr with one byte and both ends, SCM_RIGHTS: see cmsg(3) and unix(7). */
function message(): Bytes {
  const control = Buffer.alloc(24);
  control.writeBigUInt64LE(24n, 0);
  control.writeInt32LE(1, 8);
  control.writeInt32LE(1, 12);
  const iov = Buffer.alloc(16);
  iov.writeBigUInt64LE(1n, 8);
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(24n, 40);
  return {
    bytes: header,
    text: `{SCM_RIGHTS ${MASTER}, ${SLAVE}}`,
    patches: [
      { at: 16, value: { bytes: iov, patches: [{ at: 0, value: { bytes: Buffer.alloc(1) } }] } },
      {
        at: 32,
        value: {
          bytes: control,
          patches: [
            { at: 16, value: slot(MASTER) },
            { at: 20, value: slot(SLAVE) },
          ],
        },
      },
    ],
  };
}

/**
 * SECURITY: the container's own devpts is opened by its descriptor, and the other end by TIOCGPTPEER, never by a path:
 * whoever swaps /dev/pts/0 or /dev/console for a link gains nothing (CVE-2025-52565).
 */
function open(devpts: string | undefined): Step {
  if (devpts !== undefined)
    return { call: 'openat', args: [slot(devpts), 'ptmx', openFlags(...MASTER_FLAGS)], into: MASTER, doing: DOING, path: '/dev/ptmx' };
  return {
    call: 'openat2',
    args: [AT_FDCWD, '/dev/ptmx', openHow([...MASTER_FLAGS], ['RESOLVE_NO_MAGICLINKS']), 24],
    into: MASTER,
    doing: DOING,
  };
}

/** The terminal's own file over the empty one that the new /dev has for it. */
const showConsole = (): Step[] => {
  const doing = 'show the terminal as /dev/console';
  return [
    cloneSlot(SLAVE, CONSOLE, doing),
    {
      call: 'move_mount',
      args: [slot(CONSOLE), '', slot(DEV_SLOT), 'console', moveMountFlags('MOVE_MOUNT_F_EMPTY_PATH')],
      doing,
      path: '/dev/console',
    },
  ];
};

/** After setsid(2), the mounts and the change of namespaces; before the ids change. */
export function openTerminal(o: TerminalSteps): Step[] {
  const master = slot(MASTER);
  const slave = slot(SLAVE);
  const doing = DOING;
  const flags = (O['O_RDWR'] as number) | (O['O_NOCTTY'] as number) | (O['O_CLOEXEC'] as number);
  return [
    open(o.devpts),
    { call: 'ioctl', args: [master, TIOCSPTLCK, { bytes: Buffer.alloc(4), text: '{0}' }], doing, path: '/dev/ptmx' },
    { call: 'ioctl', args: [master, TIOCGPTPEER, named(flags, 'O_RDWR|O_NOCTTY|O_CLOEXEC')], into: SLAVE, doing, path: '/dev/ptmx' },
    { call: 'ioctl', args: [slave, TIOCSWINSZ, windowSize(o)], doing },
    ...(o.uid === undefined
      ? []
      : [{ call: 'fchown', args: [slave, o.uid, named(-1, '-1')], doing: `give the terminal to uid ${o.uid}` } satisfies Step]),
    ...(o.console ? showConsole() : []),
    { call: 'ioctl', args: [slave, TIOCSCTTY, 0], doing: 'make it the controlling terminal' },
    ...[0, 1, 2].map((n): Step => ({ call: 'dup3', args: [slave, n, 0], doing: 'connect the standard streams' })),
    { call: 'sendmsg', args: [slot(TTY_SOCKET), message(), named(0x4000, 'MSG_NOSIGNAL')], doing: 'hand the terminal over' },
  ];
}
