import { defineConfig } from 'vitest/config';

/** Sister packages are read from source: a test never sees a stale dist. */
const conditions = ['ctr:source', 'node', 'import', 'module', 'default'];

/** How much slower than usual this machine is: the emulated one of `pnpm test:vm` says 10. */
const slowness = Number(process.env['CTR_SLOWNESS'] ?? 1);

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts', 'internal/src/**/*.test.ts', 'e2e/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 30_000 * slowness,
    hookTimeout: 120_000 * slowness,
    reporters: [
      'default',
      './scripts/closing-line.mjs',
      ...(process.env['CI'] ? [['junit', { outputFile: 'reports/junit.xml' }] as [string, object]] : []),
    ],
  },
});
