import { defineConfig } from 'vitest/config';
import { InOrder } from './scripts/vm/order.mjs';

/** Sister packages are read from source: a test never sees a stale dist. */
const conditions = ['ctr:source', 'node', 'import', 'module', 'default'];

/** How much slower than usual this machine is: the emulated one of `pnpm test:vm` says 10. */
const slowness = Number(process.env['CTR_SLOWNESS'] ?? 1);

/** Where transformed modules are kept for the next run: transforming them under emulation takes longer than the tests. */
const moduleCache = process.env['CTR_MODULE_CACHE'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts', 'internal/src/**/*.test.ts', 'e2e/**/*.test.ts'],
    pool: 'forks',
    ...(process.env['CTR_TEST_ORDER'] ? { sequence: { sequencer: InOrder } } : {}),
    ...(process.env['CTR_VM_DEADLINE'] ? { runner: './scripts/vm/time-limit.mjs' } : {}),
    ...(moduleCache ? { experimental: { fsModuleCache: true, fsModuleCachePath: moduleCache } } : {}),
    testTimeout: 30_000 * slowness,
    hookTimeout: 120_000 * slowness,
    reporters: [
      'default',
      './scripts/closing-line.mjs',
      ...(process.env['CI'] ? [['junit', { outputFile: 'reports/junit.xml' }] as [string, object]] : []),
    ],
  },
});
