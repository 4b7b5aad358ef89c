// A start that differs from the last one in nothing: its message is complete, and only its number and its descriptors are new.
import type { Launched, Launcher } from '../launcher/launcher.js';
import type { HintSource } from '../launcher/start-error.js';
import { closeFds } from '../native.js';
import type { NamespaceKind } from '../plan/clone-flags.js';
import type { PlanSource } from '../plan/plan-source.js';
import { ContainerProcess } from '../process.js';

const STREAMS = ['stdin', 'stdout', 'stderr'];
/** Of MonitorHandle.launch: -1, -2 and -3 stand for pipes; this and what is below it is put in here. */
const LENT = -4;

export interface ReadyStart {
  readonly source: PlanSource;
  /** As 32-bit words; the third is its number. */
  readonly words: Uint32Array;
  readonly message: Uint8Array;
  readonly fds: Int32Array;
  /** Where in `fds` descriptors go that are borrowed for the sending, by slot. */
  readonly lent: Readonly<Record<string, number>>;
}

/** `source` is given what stands for the descriptors. Undefined for a plan that does not fit into a datagram. */
export function readyStart(
  pipes: readonly string[],
  lent: readonly string[],
  source: (fds: Readonly<Record<string, number>>) => PlanSource,
): ReadyStart | undefined {
  const places = [...pipes.map((name) => [name, -1 - STREAMS.indexOf(name)]), ...lent.map((name, i) => [name, LENT - i])];
  const made = source(Object.fromEntries(places) as Record<string, number>);
  const { message, fds, large } = made.encode(0, 'launch');
  if (large !== undefined || message.byteOffset % 4 !== 0 || fds.some((fd) => fd === undefined || fd >= 0)) return undefined;
  return {
    source: made,
    words: new Uint32Array(message.buffer, message.byteOffset, message.byteLength / 4),
    message,
    fds: Int32Array.from(fds),
    lent: Object.fromEntries(lent.map((name, i) => [name, fds.indexOf(LENT - i)])),
  };
}

/** Undefined when it cannot be sent at once: then nothing was done. */
export function launchReady(
  ready: ReadyStart,
  fds: Readonly<Record<string, number>>,
  launcher: Launcher,
  namespaces: readonly NamespaceKind[],
  hints: HintSource,
): Promise<ContainerProcess> | undefined {
  for (const slot in ready.lent) ready.fds[ready.lent[slot] as number] = fds[slot] as number;
  const ours = new Int32Array(3).fill(-1);
  const started = launcher.launchReady(ready, ours, hints);
  if (started === undefined) return undefined;
  const pipes = Array.from(ours, (fd) => (fd < 0 ? undefined : fd));
  return started.then(
    (launched: Launched) => new ContainerProcess(launched, launcher, pipes, namespaces),
    (error: unknown) => {
      closeFds(pipes);
      throw error;
    },
  );
}
