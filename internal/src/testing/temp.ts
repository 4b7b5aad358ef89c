// Temporary directories for tests: removed by themselves, never across a mount. CTR_KEEP=1 keeps them and says where.
import { chmodSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Every test directory begins with this, so that the leak check can tell them from what the packages leave. */
export const TEMP_PREFIX = 'ctr-test-';

const made = new Set<string>();

/**
 * Makes a directory below the system's temporary directory that is removed after the test file (or when the process ends). Where all
 * files of a run share a process and their modules it stays: what one file has made in a fixture is there for the next.
 */
export function makeTempDir(label = 'dir'): string {
  const dir = mkdtempSync(path.join(tmpdir(), `${TEMP_PREFIX}${label}-`));
  made.add(dir);
  return dir;
}

/** True for a path in a directory that another test made: test files run side by side. */
export function isOthersTemp(file: string): boolean {
  const [first = ''] = path.relative(tmpdir(), file).split('/');
  return first.startsWith(TEMP_PREFIX) && !made.has(path.join(tmpdir(), first));
}

/** Removes a tree that tests made, also when they took its permissions away. Refuses when something is mounted inside. */
export function removeTempDir(dir: string): void {
  const inside = mountPoints().filter((m) => m === dir || m.startsWith(`${dir}/`));
  if (inside.length > 0) throw new Error(`not removed, still mounted: ${inside.join(', ')}`);
  made.delete(dir);
  try {
    rmSync(dir, { recursive: true, force: true });
  } catch {
    openUp(dir);
    rmSync(dir, { recursive: true, force: true });
  }
}

function mountPoints(): string[] {
  if (process.platform !== 'linux') return [];
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n');
  return lines.map((l) => l.split(' ')[4] ?? '');
}

/** A directory without the owner's rwx cannot be emptied by its owner. */
function openUp(dir: string): void {
  chmodSync(dir, 0o700);
  for (const name of readdirSync(dir)) {
    const child = path.join(dir, name);
    if (lstatSync(child).isDirectory()) openUp(child);
  }
}

/** One that cannot be removed must not keep the others. */
function removeAll(): void {
  const failures: unknown[] = [];
  for (const dir of [...made]) {
    if (process.env['CTR_KEEP'] === '1') process.stderr.write(`kept ${dir}\n`);
    else
      try {
        removeTempDir(dir);
      } catch (error) {
        failures.push(error);
      }
  }
  if (failures.length > 0) throw new AggregateError(failures, `temporary directories are left: ${failures.map(String).join('; ')}`);
}

// A vitest worker ends by a signal and runs no exit handler, so there the hook of the test file does it. With CTR_TEST_TOGETHER=1 (scripts/vm)
// nobody does: the disk of the test machine goes with it.
if (!process.env['VITEST']) process.once('exit', removeAll);
else if (process.env['CTR_TEST_TOGETHER'] !== '1') (await import('vitest')).afterAll(removeAll);
