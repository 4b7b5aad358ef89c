import type { Options } from 'tsup';

/** One build for all packages: ESM and CJS, private code inlined, sources kept for stack traces. */
export const shared: Options = {
  entry: ['src/index.ts'],
  format: ['esm', 'cjs'],
  target: 'node20',
  platform: 'node',
  dts: { resolve: [/^@ctr\/internal/], compilerOptions: { customConditions: [] } },
  sourcemap: true,
  clean: true,
  splitting: false,
  shims: true,
  removeNodeProtocol: false,
  noExternal: [/^@ctr\/internal/],
};
