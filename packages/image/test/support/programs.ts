// Programs that tests run: skopeo, and this package bundled for other processes.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeTempDir } from '@ctr/internal/testing';
import { build } from 'tsup';

/** Runs skopeo; its error output becomes the error's message. */
export const skopeo = (...args: string[]): string => execFileSync('skopeo', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** Bundles the package and its sinks from source into one file that plain node runs, beside a link to the native build; returns its path. */
export async function bundle(): Promise<string> {
  const dir = makeTempDir('bundle');
  const source = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
  const overlayfs = path.dirname(realpathSync(source('../../node_modules/@ctr/overlayfs/package.json')));
  symlinkSync(path.join(overlayfs, 'native'), path.join(dir, 'native'));
  const outDir = path.join(dir, 'out');
  const entry = path.join(dir, 'index.ts');
  writeFileSync(
    entry,
    [source('../../src/index.ts'), path.join(overlayfs, 'src/layer-sink.ts'), path.join(overlayfs, 'src/layer-pipeline.ts')]
      .map((f) => `export * from ${JSON.stringify(f)};\n`)
      .join(''),
  );
  await build({
    // By name: a list is looked for by glob, which would have to read every folder on the way.
    entry: { index: entry },
    outDir,
    format: ['esm'],
    target: 'node20',
    platform: 'node',
    noExternal: [/./],
    config: false,
    silent: true,
    dts: false,
    removeNodeProtocol: false,
    outExtension: () => ({ js: '.mjs' }),
    esbuildOptions: (o) => {
      o.conditions = ['ctr:source'];
    },
    clean: false,
  });
  return path.join(outDir, 'index.mjs');
}

export interface Child {
  process: ChildProcess;
  /** Resolves with everything it printed; rejects when it failed. */
  done: Promise<string>;
  /** Resolves when a line with this text came. */
  said(text: string): Promise<void>;
}

/** Runs a script of a few lines in a Node of its own; `lib` is the bundle, args are in `args`. */
export function runNode(lib: string, script: string, args: unknown, wrap: string[] = []): Child {
  const code = `const args = ${JSON.stringify(args)};\nconst { ImageStore, packTar, layerSink, pipelineDecompressors } = await import(${JSON.stringify(lib)});\n${script}`;
  const [command = process.execPath, ...rest] = [...wrap, process.execPath, '--input-type=module', '-e', code];
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  const waiting = new Set<() => void>();
  child.stdout.on('data', (d) => {
    out += d;
    for (const check of waiting) check();
  });
  child.stderr.on('data', (d) => {
    err += d;
  });
  const done = new Promise<string>((resolve, reject) =>
    child.once('close', (code, signal) =>
      code === 0 ? resolve(out) : reject(new Error(`child ended with ${code ?? signal}: ${err || out}`)),
    ),
  );
  done.catch(() => undefined);
  const said = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        if (out.includes(text)) resolve();
      };
      waiting.add(check);
      check();
      done.then(() => reject(new Error(`it ended without saying ${text}: ${out}`)), reject);
    });
  return { process: child, done, said };
}
