// What the launcher executes, as plain data: the whole life of one process, from the first mkdir to the last rmdir.
import type { Step } from '@ctr/internal/steps';

/** Steps that belong together. A frozen group is taken to be the same for ever, and is encoded once. */
export type StepGroup = readonly Step[];

/** The stages of a plan, in the order in which they run. */
export type StageName = 'prepare' | 'clone' | 'maps' | 'beside' | 'enter' | 'setup' | 'kill' | 'collect' | 'cleanup';

/** The stages that are lists of steps. */
export type StepStage = 'prepare' | 'beside' | 'enter' | 'setup' | 'kill' | 'collect' | 'cleanup';

/**
 * A process to be: where each list of steps runs is what makes them safe.
 *
 * - `prepare`: in the monitor, on the host, before there is a process
 * - `beside`: in the monitor too, while the new process makes its namespaces; its `setup` waits by an `await_monitor` step. No step may open
 *   what `setup` uses, nor stand beside an `enter` stage
 * - `enter`: in a process in between, which joins the namespaces of a running one; empty for a new container
 * - `setup`: in the new process, ending in `execve`
 * - `kill`: in the monitor, beside SIGKILL to the process, when it must go
 * - `collect`: in the monitor, after the death: files to be read before they vanish
 * - `cleanup`: in the monitor, last; also when Node was killed
 */
export interface Plan {
  /** What is being done, for error messages: 'start container "web"'. */
  readonly doing: string;
  /** Names of clone3(2) flags, such as 'CLONE_NEWPID'. */
  readonly cloneFlags: readonly string[];
  /**
   * The new process may borrow the monitor's memory until exec (CLONE_VM), a little faster; only where nothing that the
   * kernel does to that memory can come back to the monitor, see native/init/launch.cc. Default false.
   */
  readonly sharesMemory?: boolean;
  /** Slot of the cgroup v2 directory to be born in. */
  readonly cgroup?: string;
  /**
   * Slot of the pidfd of a process in whose pid namespace the new one is to be; only with an `enter` stage that joins it. Where
   * the monitor may, it spares the process in between, see native/init/launch.cc.
   */
  readonly pidNamespaceOf?: string;
  /**
   * What `prepare` opens stays open in the monitor for the next plan with the same `key`, which skips that stage; until the process of
   * the launch numbered `of` has ended, or others need the room. Only for a stage that does nothing but open. Default: nothing is kept.
   */
  readonly keep?: { readonly key: number; readonly of: number };
  /**
   * Made ahead: what these steps open, once the monitor has nothing else to do, is in the slots of the next plan with the same `key`. A
   * plan that finds them empty has to do without, so its steps allow EBADF. Default: nothing is made ahead.
   */
  readonly spare?: { readonly key: number; readonly steps: StepGroup };
  /** The setup stage ends in a step `await_program`, at which the process waits inside. Not together with `sharesMemory`. Default false. */
  readonly parks?: boolean;
  readonly idMaps?: { readonly uid: string; readonly gid: string; readonly denySetgroups: boolean };
  /** Descriptors of this process that go along, by the slot that takes them. */
  readonly fds: Readonly<Record<string, number>>;
  readonly stages: Readonly<Record<StepStage, readonly StepGroup[]>>;
}

export const STEP_STAGES: readonly StepStage[] = ['prepare', 'beside', 'enter', 'setup', 'kill', 'collect', 'cleanup'];

/** A plan without a process: the monitor holds what `prepare` opened until it is released or Node is gone. */
export function holdPlan(doing: string, prepare: readonly Step[], cleanup: readonly Step[]): Plan {
  return {
    doing,
    cloneFlags: [],
    fds: {},
    stages: { prepare: [prepare], beside: [], enter: [], setup: [], kill: [], collect: [], cleanup: [cleanup] },
  };
}

/** The step that has this number in its stage. */
export function stepAt(groups: readonly StepGroup[], index: number): Step | undefined {
  let left = index;
  for (const group of groups) {
    if (left < group.length) return group[left];
    left -= group.length;
  }
  return undefined;
}
