// When the monitor was killed: its children get SIGKILL from the kernel (PR_SET_PDEATHSIG), the rest is done from here.
import { setTimeout as sleep } from 'node:timers/promises';
import type { SyscallError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { native } from '../native.js';
import { holdPlan, type Plan } from '../plan/plan.js';
import type { PlanSource } from '../plan/plan-source.js';
import type { Job } from './job.js';
import type { HintSource } from './start-error.js';

type Holder = (plan: Plan, hints: HintSource) => Promise<() => Promise<void>>;

const SIGKILL = 9;
const LONGEST_WAIT_MS = 100;

/** Makes sure and waits: a program that changed its ids by a set-uid file has lost the signal of its parent's death (prctl(2)). */
async function kill(pidfd: Fd): Promise<void> {
  for (let wait = 1; !pidfd.closed && !native().pidfdEnded(pidfd.fd); wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    try {
      native().pidfdSendSignal(pidfd.fd, SIGKILL);
    } catch {
      // ESRCH: it has ended in this moment. EPERM: nothing more can be done than to wait.
    }
    await sleep(wait);
  }
}

/** Makes a new monitor do what the dead one left undone; the steps are idempotent. */
async function cleanUp(plan: Plan, hold: Holder): Promise<void> {
  const steps = [...plan.stages.kill, ...plan.stages.cleanup].flat();
  if (plan.stages.cleanup.flat().length === 0) return;
  const release = await hold(holdPlan(`clean up after: ${plan.doing}`, [], steps), () => undefined);
  await release();
}

async function settle(job: Job, gone: SyscallError, hold: Holder): Promise<void> {
  if (job.pidfd) await kill(job.pidfd);
  const usage = { cpuUserMs: 0, cpuSystemMs: 0, maxRssBytes: 0 };
  job.exited.resolve({ exitCode: null, signal: 'SIGKILL', usage, files: new Map() });
  try {
    await cleanUp(job.source.plan, hold);
    job.cleaned.resolve();
  } catch (error) {
    gone.cleanup = [error as Error];
    job.cleaned.reject(error);
  }
  // Only now, since nothing half-made remains of what could not be started.
  job.parked?.reject(gone);
  job.started.reject(gone);
}

/** Settles what waits for the dead monitor: first the processes, then what was held for all of them. */
export async function settleOrphans(jobs: readonly Job[], gone: (source: PlanSource) => SyscallError, hold: Holder): Promise<void> {
  const all = (kind: Job['kind']) => Promise.all(jobs.filter((j) => j.kind === kind).map((j) => settle(j, gone(j.source), hold)));
  await all('launch');
  await all('hold');
}
