// Crossing over: a plan goes to the monitor with its pipes, a ContainerProcess comes back.
import { Launcher } from '../launcher/launcher.js';
import type { HintSource } from '../launcher/start-error.js';
import { callNative, closeFds } from '../native.js';
import type { NamespaceKind } from '../plan/clone-flags.js';
import type { Plan } from '../plan/plan.js';
import { type PlanSource, planSource } from '../plan/plan-source.js';
import { ContainerProcess } from '../process.js';
import { type ListenerReceiver, receiveListener } from '../seccomp/listener/receiver.js';
import { listenerOf, type SeccompFilter } from '../seccomp/load.js';
import { LISTENER_SLOT } from '../steps/identity.js';
import { TTY_SOCKET } from '../steps/terminal.js';
import { receiveTerminal } from '../terminal/receive.js';
import { sizeOf, type TerminalSize } from '../terminal/size.js';
import { defaultHints } from './hints.js';
import type { ProgramOptions } from './options.js';
import { PIPE_PLACEHOLDER } from './placeholder.js';

const STREAMS = ['stdin', 'stdout', 'stderr'];

interface Pipes {
  /** The child's ends, by slot. */
  theirs: Record<string, number>;
  /** Ours: stdin, stdout, stderr. */
  ours: (number | undefined)[];
  /** Our end of the socket over which the terminal comes. */
  terminal?: number;
}

function makeOne(pipes: Pipes, name: string): void {
  if (name === TTY_SOCKET) {
    const [ours, theirs] = callNative('make the socket of the terminal', (b) => b.socketPair());
    pipes.terminal = ours;
    pipes.theirs[name] = theirs;
    return;
  }
  const n = STREAMS.indexOf(name);
  const [read, write] = callNative('make the pipes of the standard streams', (b) => b.pipe());
  pipes.theirs[name] = n === 0 ? read : write;
  pipes.ours[n] = n === 0 ? write : read;
}

function makePipes(slots: readonly string[]): Pipes {
  const pipes: Pipes = { theirs: {}, ours: [undefined, undefined, undefined] };
  try {
    for (const name of slots) makeOne(pipes, name);
  } catch (e) {
    closeFds([...Object.values(pipes.theirs), ...pipes.ours, pipes.terminal]);
    throw e;
  }
  return pipes;
}

/** The receiver of a seccomp listener, with its end in the child's pipes. */
function receiver(pipes: Pipes, onListener: SeccompFilter['onListener']): ListenerReceiver | undefined {
  if (onListener === undefined) return undefined;
  try {
    const made = receiveListener(onListener);
    pipes.theirs[LISTENER_SLOT] = made.theirs;
    return made;
  } catch (e) {
    closeFds([...Object.values(pipes.theirs), ...pipes.ours]);
    throw e;
  }
}

interface Crossing {
  /** Descriptors that go along, by slot; those of `pipes` are made here. */
  readonly fds: Readonly<Record<string, number>>;
  readonly pipes: readonly string[];
  /** Of `fds`, those to close here once they are sent. */
  readonly own?: readonly number[];
  source(fds: Readonly<Record<string, number>>): PlanSource;
  /** The kinds in which the process will differ from this one. */
  readonly namespaces: readonly NamespaceKind[];
  readonly hints: HintSource;
  /** Of the terminal that the process makes. */
  readonly size?: TerminalSize | undefined;
  /** Gives the start up. */
  readonly signal?: AbortSignal | undefined;
  /** Takes the listener of the seccomp filter. */
  readonly onListener?: SeccompFilter['onListener'];
}

/** Executes a plan that ends in a process. */
export async function executeSource({
  fds,
  pipes: slots,
  own = [],
  source,
  namespaces,
  hints,
  size,
  signal,
  onListener,
}: Crossing): Promise<ContainerProcess> {
  let launcher: Launcher;
  let pipes: Pipes;
  let listener: ListenerReceiver | undefined;
  try {
    launcher = Launcher.current;
    pipes = makePipes(slots);
    listener = receiver(pipes, onListener);
  } catch (e) {
    closeFds(own);
    throw e;
  }
  try {
    const launched = await launcher.launch(source({ ...fds, ...pipes.theirs }), hints, [...own, ...Object.values(pipes.theirs)], signal);
    if (pipes.terminal === undefined || size === undefined) return new ContainerProcess(launched, launcher, pipes.ours, namespaces);
    return await receiveTerminal(
      pipes.terminal,
      size,
      (terminal) => new ContainerProcess(launched, launcher, pipes.ours, namespaces, terminal),
    );
  } catch (e) {
    closeFds(pipes.ours);
    throw e;
  } finally {
    listener?.finish();
    if (pipes.terminal !== undefined) closeFds([pipes.terminal]);
  }
}

/** The same for a plan that is used once. */
export const executePlan = (
  plan: Plan,
  namespaces: readonly NamespaceKind[],
  { hints = defaultHints, signal, seccomp, tty }: Pick<ProgramOptions, 'hints' | 'signal' | 'seccomp' | 'tty'>,
): Promise<ContainerProcess> =>
  executeSource({
    fds: plan.fds,
    pipes: [...STREAMS, TTY_SOCKET].filter((name) => plan.fds[name] === PIPE_PLACEHOLDER),
    source: (fds) => planSource({ ...plan, fds }),
    namespaces,
    hints,
    size: sizeOf(tty),
    signal,
    onListener: listenerOf(seccomp),
  });
