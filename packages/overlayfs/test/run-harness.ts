// Starts harness.ts in other namespaces and as another user.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeTempDir } from '@ctr/internal/testing';
import type { Task } from './harness.js';
import { isRoot } from './trees.js';

// esbuild belongs to tsup, which builds the package; tsup itself takes seconds to load where Node is slow.
const require = createRequire(import.meta.url);
const esbuild = createRequire(require.resolve('tsup'))('esbuild') as { build(o: object): Promise<unknown> };

const here = path.dirname(fileURLToPath(import.meta.url));

/** An ordinary user: the one who runs the tests, or nobody. */
const AS_USER = isRoot ? ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'] : [];

/** How the harness is started. */
export const PLACES = {
  /** An ordinary user on the host. */
  user: AS_USER,
  /** An ordinary user as root of new user and mount namespaces, one id mapped. */
  userns: [...AS_USER, 'unshare', '-U', '-r', '-m'],
  /** Root in a mount namespace of its own. */
  root: ['unshare', '-m'],
} as const;

/** A directory that everybody may write to. */
export function openTempDir(label: string): string {
  const dir = makeTempDir(label);
  chmodSync(dir, 0o777);
  return dir;
}

export interface Outcome {
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what its task prints
  value?: any;
  error?: { code: string; message: string };
}

/** Plain Node reads no TypeScript: one file with everything in it, beside a link to the native build. */
export async function bundle(entry: string): Promise<string> {
  const dir = openTempDir('bundle');
  symlinkSync(path.join(here, '../native'), path.join(dir, 'native'));
  mkdirSync(path.join(dir, 'out'));
  await esbuild.build({
    entryPoints: [entry],
    outfile: path.join(dir, 'out/program.mjs'),
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    conditions: ['ctr:source'],
    // What is CommonJS requires built-in modules.
    banner: { js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);" },
    logLevel: 'error',
  });
  return path.join(dir, 'out/program.mjs');
}

let harnessFile: Promise<string> | undefined;

/** The harness as one file of plain JavaScript. */
export function harnessProgram(): Promise<string> {
  harnessFile ??= bundle(path.join(here, 'harness.ts'));
  return harnessFile;
}

/** Runs a task in a place; `within` is a command that starts it there, such as a shell that mounts something first. */
export async function harness(place: keyof typeof PLACES, task: Task, within: readonly string[] = []): Promise<Outcome> {
  const [command = process.execPath, ...args] = [
    ...PLACES[place],
    ...within,
    process.execPath,
    await harnessProgram(),
    JSON.stringify(task),
  ];
  return JSON.parse(execFileSync(command, args, { encoding: 'utf8', cwd: '/', timeout: 60_000 }));
}
