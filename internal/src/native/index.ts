// Finds and loads what was built natively. Only called when a function needs it, so that an import works on any system.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { UnsupportedError } from '../errors/index.js';

const require = createRequire(import.meta.url);

/** First what node-gyp built here, then what the package brought. One file serves glibc and musl alike. */
export function findNative(nativeDir: string, file: string): string {
  const config = process.env['CTR_NATIVE_CONFIG'] ?? 'Release';
  const all = [path.join(nativeDir, 'build', config, file), path.join(nativeDir, 'prebuilds', `${process.platform}-${process.arch}`, file)];
  const hit = all.find((f) => existsSync(f));
  if (hit !== undefined) return hit;
  throw new UnsupportedError(
    `native code for ${process.platform}-${process.arch}`,
    `${file}, which was looked for in ${all.join(' and ')}`,
    undefined,
    {
      hint: `build it from source: in a checkout "pnpm build"; in node_modules "npx node-gyp -C ${nativeDir} rebuild"`,
    },
  );
}

export function loadAddon<T>(nativeDir: string, name: string): T {
  return require(findNative(nativeDir, `${name}.node`)) as T;
}
