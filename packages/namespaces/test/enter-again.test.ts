// The same program again and again in one container: what the first starts made ready serves the others, and ends with the container.
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { named, type Step, slot } from '@ctr/internal/steps';
import { need } from '@ctr/internal/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ContainerProcess, type EnterTemplate, enterTemplate, type StartOptions, spawn } from '../src/index.js';
import { Launcher } from '../src/launcher/launcher.js';
import { asRoot, ENV, finished, leaks, WAYS } from './run.js';

const needs = need('userns');
const AT_FDCWD = named(-100, 'AT_FDCWD');
const APPEND = named(0o2002001, 'O_WRONLY|O_APPEND|O_CLOEXEC');

const steps = (file: string): { prepare: Step[]; setup: Step[] } => ({
  prepare: [{ call: 'openat', args: [AT_FDCWD, file, APPEND, 0], into: 'cg.count', doing: 'open the count' }],
  setup: [{ call: 'write', args: [slot('cg.count'), '+', 1], doing: 'count' }],
});

const frozen = (args: readonly string[]): StartOptions =>
  Object.freeze({
    args: Object.freeze([...args]),
    env: Object.freeze({ ...ENV }),
    stdio: Object.freeze(['ignore', 'pipe', 'ignore'] as const),
    doing: 'run it again',
  });

/** Of the monitor: how many of its descriptors lead to the file, also when that has lost its name. */
function heldByMonitor(file: string): number {
  const folder = `/proc/${Launcher.current.pid}/fd`;
  return readdirSync(folder).filter((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`).startsWith(file);
    } catch {
      return false;
    }
  }).length;
}

describe.skipIf(!needs.ok)(needs.title('the same program again'), () => {
  describe.each(WAYS)('$way', ({ user }) => {
    let dir: string;
    let box: ContainerProcess;
    const count = (): string => path.join(dir, 'count');
    const template = (file = count()): EnterTemplate => {
      writeFileSync(file, '');
      return enterTemplate(box, {
        args: ['true'],
        stdio: ['ignore', 'pipe', 'ignore'],
        cgroup: { ...steps(file), collect: [], cleanup: [] },
      });
    };
    beforeEach(async () => {
      dir = mkdtempSync(path.join(tmpdir(), 'ctr-again-'));
      box = await spawn({
        args: ['sleep', '1000'],
        env: ENV,
        namespaces: { user, pid: 'new', uts: 'new' },
        stdio: ['ignore', 'ignore', 'ignore'],
      });
    });
    afterEach(async () => {
      await box[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true, force: true });
    });

    it('has streams of its own each time, also many at once, and leaves no descriptor', async () => {
      const made = template();
      const start = frozen(['sh', '-c', 'echo $$']);
      const once = async (): Promise<number> => {
        const { stdout, exitCode } = await finished(await made.enter(start));
        expect(exitCode).toBe(0);
        return Number(stdout);
      };
      for (let i = 0; i < 3; i++) await once();
      const check = leaks();
      const before = readdirSync('/proc/self/fd').length;
      const pids = await Promise.all(Array.from({ length: 40 }, once));
      expect(new Set(pids).size).toBe(40);
      await check.assertClean();
      expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before);
      expect(readFileSync(count(), 'utf8')).toBe('+'.repeat(43));
    });

    it('does not open again what is open, until the container has ended', async () => {
      const made = template();
      const start = frozen(['true']);
      await finished(await made.enter(start));
      rmSync(count());
      for (let i = 0; i < 3; i++) expect(await finished(await made.enter(start))).toMatchObject({ exitCode: 0 });
      if (asRoot) expect(heldByMonitor(count())).toBe(1);
      await box[Symbol.asyncDispose]();
      if (asRoot) expect(heldByMonitor(count())).toBe(0);
      await expect(made.enter(start)).rejects.toMatchObject({ code: 'CTR_START_FAILED', errno: -3 });
    });

    it('gives room to others, and opens again what had to go', async () => {
      const start = frozen(['true']);
      const files = Array.from({ length: 12 }, (_, i) => `${count()}.${i}`);
      const made = files.map(template);
      for (let round = 1; round <= 3; round++) {
        for (const one of made) expect(await finished(await one.enter(start))).toMatchObject({ exitCode: 0 });
        expect(files.map((file) => readFileSync(file, 'utf8'))).toEqual(files.map(() => '+'.repeat(round)));
      }
      if (asRoot) expect(files.reduce((sum, file) => sum + heldByMonitor(`${file}`), 0)).toBeLessThanOrEqual(12);
      await box[Symbol.asyncDispose]();
      if (asRoot) expect(heldByMonitor(count())).toBe(0);
    });

    it('fails as it did the first time', async () => {
      const made = template();
      const start = frozen(['/does/not/exist']);
      const messages: string[] = [];
      const before = readdirSync('/proc/self/fd').length;
      for (let i = 0; i < 4; i++)
        await made.enter(start).catch((error: Error) => {
          messages.push(error.message);
        });
      expect(messages).toHaveLength(4);
      expect(new Set(messages).size).toBe(1);
      expect(messages[0]).toContain('run it again: run /does/not/exist: execve: ENOENT');
      expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before);
    });
  });
});
