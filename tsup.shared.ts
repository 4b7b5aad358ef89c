import type { Options } from 'tsup';

/** One build for all packages: ESM and CJS, private code inlined, sources kept for stack traces. */
export const shared: Options = {
  entry: ['src/index.ts'],
  format: ['esm', 'cjs'],
  target: 'node20',
  platform: 'node',
  // By paths, so that the private types are inlined like the private code.
  dts: { compilerOptions: { customConditions: [], baseUrl: '.', paths: { '@ctr/internal/*': ['../../internal/src/*/index.ts'] } } },
  sourcemap: true,
  clean: true,
  splitting: false,
  shims: true,
  removeNodeProtocol: false,
  noExternal: [/^@ctr\/internal/],
};
