import path from 'node:path';
import { defineConfig } from 'vitest/config';
import { InOrder } from './scripts/vm/order.mjs';

/** Sister packages are read from source: a test never sees a stale dist. */
const conditions = ['ctr:source', 'node', 'import', 'module', 'default'];

/** How much slower than usual this machine is: the emulated one of `pnpm test:vm` says 10. */
const slowness = Number(process.env['CTR_SLOWNESS'] ?? 1);

/** The folder with the tests as plain JavaScript, which Node imports itself: scripts/vm/bundle.mjs makes them for the test machine. */
const bundles = process.env['CTR_TEST_BUNDLES'];
const native = {
  root: bundles,
  include: ['**/*.test.mjs'],
  experimental: { viteModuleRunner: false, nodeLoader: false },
};

/** A file of this checkout, whatever vitest takes for its root. */
const here = (file: string): string => path.join(import.meta.dirname, file);

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts', 'internal/src/**/*.test.ts', 'e2e/**/*.test.ts'],
    pool: 'forks',
    ...(process.env['CTR_TEST_ORDER'] ? { sequence: { sequencer: InOrder } } : {}),
    ...(process.env['CTR_VM_DEADLINE'] ? { runner: here('scripts/vm/time-limit.mjs') } : {}),
    ...(bundles ? native : {}),
    testTimeout: 30_000 * slowness,
    hookTimeout: 120_000 * slowness,
    reporters: [
      'default',
      here('scripts/closing-line.mjs'),
      ...(process.env['CI'] ? [['junit', { outputFile: 'reports/junit.xml' }] as [string, object]] : []),
    ],
  },
});
