// A process that is made for its steps alone: it goes into other namespaces, hands back the descriptors that it opened
// there, and is gone. Node joins no namespace, and neither does the monitor, whose next child would be born in it.

import { SyscallError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { named, type Step, slot } from '@ctr/internal/steps';
import { FdWatch } from '../fd-watch.js';
import { Launcher } from '../launcher/launcher.js';
import { type HintSource, StartError } from '../launcher/start-error.js';
import { callNative, closeFds, NATIVE_FDS, native } from '../native.js';
import type { Plan } from '../plan/plan.js';
import { planSource } from '../plan/plan-source.js';
import { defaultHints } from '../spawn/hints.js';

const SOCKET = 'errand.socket';
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = named(0x4000, 'MSG_NOSIGNAL');

export interface Errand {
  /** What is being done, the beginning of every error message. */
  doing: string;
  cloneFlags?: readonly string[];
  idMaps?: Plan['idMaps'];
  /** Descriptors of this process that go along, by slot; borrowed. */
  fds?: Readonly<Record<string, number>>;
  /** In a process in between, before the namespaces of `cloneFlags` are made. */
  enter?: readonly Step[];
  steps: readonly Step[];
  /** The slots whose descriptors come back, in this order. */
  give: readonly string[];
  /** What is done with them while the process still waits in its namespaces. */
  meanwhile?: (given: readonly Fd[]) => Promise<void>;
  hints?: HintSource;
}

/** sendmsg(2) with the descriptors of these slots: struct msghdr, one byte of data, one struct cmsghdr. */
function handBack(slots: readonly string[]): Step {
  const data = { bytes: new Uint8Array(1) };
  const iov = Buffer.alloc(16);
  iov.writeBigUInt64LE(1n, 8);
  const size = 16 + slots.length * 4;
  const control = Buffer.alloc(Math.ceil(size / 8) * 8);
  control.writeBigUInt64LE(BigInt(size), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  const message = Buffer.alloc(56);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  return {
    call: 'sendmsg',
    args: [
      slot(SOCKET),
      {
        bytes: message,
        text: `{SCM_RIGHTS [${slots.join(', ')}]}`,
        patches: [
          { at: 16, value: { bytes: iov, patches: [{ at: 0, value: data }] } },
          { at: 32, value: { bytes: control, patches: slots.map((name, i) => ({ at: 16 + i * 4, value: slot(name) })) } },
        ],
      },
      MSG_NOSIGNAL,
    ],
    doing: 'hand the descriptors back',
  };
}

/** Until the other end is closed. */
const waitForOwner: Step = { call: 'read', args: [slot(SOCKET), { bytes: new Uint8Array(8) }, 1], doing: 'wait' };
const finish: Step = { call: 'finish', args: [0] };

function planOf(e: Errand, socket: number): Plan {
  return {
    doing: e.doing,
    cloneFlags: e.cloneFlags ?? [],
    ...(e.idMaps ? { idMaps: e.idMaps } : {}),
    fds: { ...e.fds, [SOCKET]: socket },
    stages: {
      prepare: [],
      beside: [],
      enter: e.enter ? [e.enter] : [],
      setup: [[...e.steps, handBack(e.give), ...(e.meanwhile ? [waitForOwner] : []), finish]],
      kill: [],
      collect: [],
      cleanup: [],
    },
  };
}

/** What failed is the errand's own step; that a process was needed for it is nobody's business. */
function asSyscallError(e: unknown, doing: string): unknown {
  if (!(e instanceof StartError)) return e;
  const what = e.step?.doing;
  return new SyscallError(
    { errno: e.errno, syscall: e.syscall, path: e.path, doing: what === undefined || what === doing ? doing : `${doing}: ${what}` },
    { cause: e, hint: e.hint },
  );
}

/** Resolves once the descriptor is readable; `stop` forgets it. */
function readable(fd: number): { told: Promise<void>; stop(): void } {
  let stop = (): void => {};
  const told = new Promise<void>((resolve) => {
    const watch = new FdWatch('wait for a descriptor', fd, resolve);
    stop = () => {
      watch.close();
      resolve();
    };
  });
  return { told, stop: () => stop() };
}

const receive = (socket: number): Fd[] => (native().receiveFds(socket) ?? []).map((fd) => Fd.of(fd, NATIVE_FDS));

/** Runs the errand; resolves to the descriptors that came back. @throws SyscallError */
export async function runErrand(e: Errand): Promise<Fd[]> {
  const [ours, theirs] = callNative(e.doing, (b) => b.socketPair());
  let open = true;
  const closeOurs = (): void => {
    if (open) closeFds([ours]);
    open = false;
  };
  let given: Fd[] = [];
  try {
    const ending = Launcher.current
      .launch(planSource(planOf(e, theirs)), e.hints ?? defaultHints, [theirs])
      .then(({ pidfd, exited, cleaned }) =>
        exited.then(() => {
          pidfd.close();
          return cleaned;
        }),
      );
    // Whoever waits for it hears of it; what fails meanwhile is told before.
    ending.catch(() => {});
    if (e.meanwhile) {
      given = await receiveWhile(ours, ending);
      await e.meanwhile(given);
      closeOurs();
    }
    await ending;
    if (!e.meanwhile) given = receive(ours);
    if (given.length !== e.give.length)
      throw new SyscallError({ errno: 104, syscall: 'recvmsg', doing: e.doing }, { hint: 'the process was killed' });
    return given;
  } catch (error) {
    for (const fd of given) fd.close();
    throw asSyscallError(error, e.doing);
  } finally {
    closeOurs();
  }
}

/** What comes while the process waits; it may also fail before it says anything. */
async function receiveWhile(socket: number, ending: Promise<unknown>): Promise<Fd[]> {
  const { told, stop } = readable(socket);
  try {
    await Promise.race([told, ending]);
  } finally {
    stop();
  }
  return receive(socket);
}
