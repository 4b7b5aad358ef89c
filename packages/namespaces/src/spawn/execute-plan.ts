// Crossing over: a plan goes to the monitor with its pipes, a ContainerProcess comes back.
import { Launcher } from '../launcher/launcher.js';
import type { HintSource } from '../launcher/start-error.js';
import { callNative, closeFds } from '../native.js';
import type { NamespaceKind } from '../plan/clone-flags.js';
import type { Plan } from '../plan/plan.js';
import { ContainerProcess } from '../process.js';
import { PIPE_PLACEHOLDER } from './compile-spawn.js';

const STREAMS = ['stdin', 'stdout', 'stderr'];

interface Pipes {
  /** The child's ends, by slot. */
  theirs: Record<string, number>;
  /** Ours: stdin, stdout, stderr. */
  ours: (number | undefined)[];
}

function makePipes(plan: Plan): Pipes {
  const pipes: Pipes = { theirs: {}, ours: [undefined, undefined, undefined] };
  try {
    STREAMS.forEach((name, n) => {
      if (plan.fds[name] !== PIPE_PLACEHOLDER) return;
      const [read, write] = callNative('make the pipes of the standard streams', (b) => b.pipe());
      pipes.theirs[name] = n === 0 ? read : write;
      pipes.ours[n] = n === 0 ? write : read;
    });
  } catch (e) {
    closeFds([...Object.values(pipes.theirs), ...pipes.ours]);
    throw e;
  }
  return pipes;
}

/** Executes a plan that ends in a process; `namespaces` are the kinds in which it will differ from this one. */
export async function executePlan(plan: Plan, namespaces: readonly NamespaceKind[], hints: HintSource): Promise<ContainerProcess> {
  const launcher = Launcher.current;
  const pipes = makePipes(plan);
  try {
    const launched = await launcher.launch({ ...plan, fds: { ...plan.fds, ...pipes.theirs } }, hints, Object.values(pipes.theirs));
    return new ContainerProcess(launched, launcher, pipes.ours, namespaces);
  } catch (e) {
    closeFds(pipes.ours);
    throw e;
  }
}
