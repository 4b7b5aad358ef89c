// facts.c, built once for a test file, and its words read.
import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeTempDir } from '@ctr/internal/testing';

/** The path of the static program; any user may run it. */
export function buildFacts(): string {
  const dir = makeTempDir('facts');
  chmodSync(dir, 0o755);
  const program = path.join(dir, 'facts');
  const source = fileURLToPath(new URL('facts.c', import.meta.url));
  const built = spawnSync('cc', ['-static', '-O1', '-Wall', '-Wextra', '-Werror', '-o', program, source], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(built.stderr);
  return program;
}

/** Each fact by its word. */
export const parseFacts = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .split(/\r?\n/)
      .filter((line) => line !== '')
      .map((line) => [line.split(' ', 1)[0], line.slice(line.indexOf(' ') + 1)]),
  );
