// Why a process ended, from what the kernel says and what was sent from here.
import type { ProcessExit } from '@ctr/namespaces';
import { describe, expect, it } from 'vitest';
import { ContainerExitError, describeExit, exitError, exitStatus, type KillCause } from './result.js';

const usage = { cpuUserMs: 1, cpuSystemMs: 2, maxRssBytes: 3 };
const directories = { memory: '/sys/fs/cgroup/memory/x' };
const OOM = new Map([['/sys/fs/cgroup/memory/x/memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 1\n']]);

const status = (exit: Partial<ProcessExit>, cause?: KillCause) =>
  exitStatus({
    exit: { exitCode: null, signal: null, usage, files: new Map(), ...exit } as ProcessExit,
    directories,
    cause,
    startedAt: new Date(0),
    durationMs: 5,
  });

describe('the reason', () => {
  it.each([
    ['exited', { exitCode: 0 }, undefined],
    ['exited', { exitCode: 137 }, undefined],
    ['signaled', { signal: 'SIGSEGV' }, undefined],
    ['signaled', { signal: 'SIGKILL' }, undefined],
    ['oom', { signal: 'SIGKILL', files: OOM }, undefined],
    ['oom', { exitCode: 137, files: OOM }, undefined],
    // A child was killed, and its parent dealt with it.
    ['exited', { exitCode: 1, files: OOM }, undefined],
    ['timeout', { signal: 'SIGKILL' }, { reason: 'timeout', signal: 'SIGKILL' }],
    ['aborted', { signal: 'SIGKILL', files: OOM }, { reason: 'aborted', signal: 'SIGKILL' }],
    // It exited by itself just before the signal arrived.
    ['exited', { exitCode: 0 }, { reason: 'timeout', signal: 'SIGKILL' }],
    // It handled the signal.
    ['stopped', { exitCode: 143 }, { reason: 'stopped', signal: 'SIGTERM' }],
  ] as [string, Partial<ProcessExit>, KillCause | undefined][])('%s: %o after %o', (reason, exit, cause) =>
    expect(status(exit, cause).reason).toBe(reason),
  );

  it('does not hide that memory ran out', () => expect(status({ exitCode: 1, files: OOM }).oomKilled).toBe(true));
});

describe('as an error', () => {
  it('says what happened, and the last words', () => {
    const words = Array.from({ length: 9 }, (_, i) => `line ${i}`).join('\n');
    expect(new ContainerExitError(['ls', '-l'], status({ exitCode: 2 }), words).message).toMatchInlineSnapshot(`
      "run "ls": exit code 2
        line 4
        line 5
        line 6
        line 7
        line 8"
    `);
    expect(new ContainerExitError(['node'], status({ signal: 'SIGKILL', files: OOM }), '').message).toMatchInlineSnapshot(`
      "run "node": out of memory (killed by SIGKILL)
        hint: it needed more than its limit: raise resources.memory"
    `);
  });

  it('is an AbortError for an aborted run', () => {
    const error = exitError(['x'], status({ signal: 'SIGKILL' }, { reason: 'aborted', signal: 'SIGKILL' }), '', AbortSignal.abort('why'));
    expect({ name: error.name, cause: error.cause }).toEqual({ name: 'AbortError', cause: 'why' });
  });

  it('has words for each way', () =>
    expect(
      [status({ exitCode: 3 }), status({ signal: 'SIGTERM' }), status({ signal: 'SIGKILL' }, { reason: 'timeout', signal: 'SIGKILL' })].map(
        describeExit,
      ),
    ).toEqual(['exit code 3', 'killed by SIGTERM', 'timed out (killed by SIGKILL)']));
});
