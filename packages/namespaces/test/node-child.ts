// Other Node processes that use this package from source, as an application would: to be killed, to exit, to crash.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { makeTempDir } from '@ctr/internal/testing';

const packageDir = path.resolve(import.meta.dirname, '..');
const require = createRequire(import.meta.url);
// esbuild belongs to tsup, which builds the package.
const esbuild = createRequire(require.resolve('tsup'))('esbuild') as {
  build(o: object): Promise<{ outputFiles: { text: string }[] }>;
  transform(code: string, o: object): Promise<{ code: string }>;
};

/** What scripts import from 'ns': the package, and what a test asks of its inside. */
const EXPORTS = ["export * from './src/index.js'", "export { describeEnter } from './src/spawn/enter.js'"]
  .concat("export { Launcher } from './src/launcher/launcher.js'", "export { planSource } from './src/plan/plan-source.js'")
  .join(';');

type Format = 'esm' | 'cjs';
const libraries = new Map<Format, Promise<string>>();

/** The package as one file of plain JavaScript, made once. */
function library(format: Format): Promise<string> {
  const made = libraries.get(format) ?? makeLibrary(format);
  libraries.set(format, made);
  return made;
}

async function makeLibrary(format: Format): Promise<string> {
  const { outputFiles } = await esbuild.build({
    stdin: { contents: EXPORTS, resolveDir: packageDir, loader: 'ts' },
    bundle: true,
    write: false,
    platform: 'node',
    format,
    target: 'node20',
    conditions: ['ctr:source'],
    // The bundle lies elsewhere, the native code does not.
    define: { 'import.meta.url': JSON.stringify(pathToFileURL(path.join(packageDir, 'src/native.ts')).href) },
    logLevel: 'error',
  });
  return outputFiles[0]?.text ?? '';
}

/** Puts a script that imports the package as 'ns' beside the package; returns the script's file. */
export async function bundle(script: string, format: Format = 'esm'): Promise<string> {
  const dir = makeTempDir('script');
  const extension = format === 'esm' ? 'mjs' : 'cjs';
  writeFileSync(path.join(dir, `ns.${extension}`), await library(format));
  const code = script.replaceAll("'ns'", `'./ns.${extension}'`);
  const file = path.join(dir, `script.${extension}`);
  writeFileSync(file, format === 'esm' ? code : (await esbuild.transform(code, { format })).code);
  return file;
}

export interface NodeChild {
  process: ChildProcess;
  pid: number;
  /** The next line of its standard output. */
  line(): Promise<string>;
  /** Its exit: code or signal, and all that it wrote to standard error. */
  ended: Promise<{ code: number | null; signal: string | null; stderr: string }>;
}

export function start(file: string, args: string[] = [], env: Record<string, string> = {}): NodeChild {
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  const lines: string[] = [];
  const waiting: ((line: string) => void)[] = [];
  let rest = '';
  child.stdout.on('data', (d: Buffer) => {
    const all = (rest + d).split('\n');
    rest = all.pop() ?? '';
    for (const l of all) {
      const next = waiting.shift();
      if (next) next(l);
      else lines.push(l);
    }
  });
  let stderr = '';
  child.stderr.on('data', (d: Buffer) => {
    stderr += d;
  });
  const ended = new Promise<{ code: number | null; signal: string | null; stderr: string }>((resolve) => {
    child.once('close', (code, signal) => {
      for (const w of waiting.splice(0)) w(`[ended: ${code ?? signal}] ${stderr}`);
      resolve({ code, signal, stderr });
    });
  });
  const line = (): Promise<string> => {
    const known = lines.shift();
    return known !== undefined ? Promise.resolve(known) : new Promise((resolve) => waiting.push(resolve));
  };
  return { process: child, pid: child.pid ?? 0, line, ended };
}

/** True while a process runs: gone and zombie are both dead. */
export function runs(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  try {
    const stat = require('node:fs').readFileSync(`/proc/${pid}/stat`, 'utf8') as string;
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

/** Waits until it is so; throws with what is still not so. */
export async function until(what: () => unknown[], withinMs = 2000): Promise<void> {
  const end = performance.now() + withinMs;
  let left = what();
  while (left.length > 0 && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    left = what();
  }
  if (left.length > 0) throw new Error(`after ${withinMs} ms still: ${left.join(', ')}`);
}
