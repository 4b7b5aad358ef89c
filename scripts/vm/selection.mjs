// Which tests run in the test machine when none are named, and in which order: where the time is limited, the most important come first.

/** The patience that emulation needs: a start costs 10 to 40 times what it does outside. vitest.config.ts multiplies its time limits. */
export const SLOWNESS = 10;

// Ranks of importance, by path: limits on the only host with all of cgroup v2, then what runs and what is left behind, then everything else.
const ORDER = [
  ...['enforced', 'limits', 'oom', 'round-trip', 'control', 'events'].map((name) => `packages/cgroups/test/${name}.test.ts`),
  'packages/runtime/test/limits.test.ts',
  'packages/namespaces/test/namespaces.test.ts',
  'packages/overlayfs/test/overlay.test.ts',
  'packages/runtime/test/run-container.test.ts',
  'packages/cgroups/test/',
  'packages/runtime/test/',
  'packages/namespaces/test/',
  'packages/overlayfs/test/',
  // End to end: what each says in a second.
  ...['cleanup', 'run', 'failure', 'limits'].map((name) => `e2e/${name}.test.ts`),
  'e2e/',
  ...['executables', 'resources', 'faults-node'].map((name) => `e2e/hostile/${name}.test.ts`),
  // A minute each: many Nodes, many images.
  'packages/overlayfs/test/overlay-places.test.ts',
  'packages/runtime/test/image-paths.test.ts',
];

/**
 * Promises of the README that a kernel keeps or breaks. The others ask a registry (image, registry-interop), a peer of the host (oracle), how the
 * packages are made (package, examples), which form a layer has (layer-forms: Linux 6.12), or need an ordinary user (rootless).
 */
const PROMISES = [
  ...['cleanup', 'check-host', 'failure', 'limits', 'run'],
  ...['executables', 'faults-launch', 'faults-node', 'identity', 'masks', 'network', 'resources', 'signals', 'streams', 'syscalls'].map(
    (name) => `hostile/${name}`,
  ),
].map((name) => `e2e/${name}.test.ts`);

const files = (pack, ...names) => names.map((name) => `packages/${pack}/test/${name}.test.ts`);

// Left out by name, each with the reason; everything else in the test folders of cgroups, namespaces, overlayfs and runtime runs.
const LEFT_OUT = [
  // They ask no kernel: the same code gives the same result outside.
  ...files('namespaces', 'decode-fuzz', 'seccomp-oracle'),
  ...files(
    'overlayfs',
    'gzip-readers',
    'layer-fuzz',
    'layer-bounds',
    'layer-hostile-data',
    'layer-hostile-names',
    'layer-pipeline',
    'layer-tar',
  ),
  // Folders of the root are mapped, which is an overlay there: Linux 6.1 cannot.
  ...files('namespaces', 'idmapped'),
  // Crowds, many Nodes and builds with a sanitizer: some seconds outside, many minutes under emulation.
  ...files('namespaces', 'enter-many', 'sanitized-init', 'remove-tree', 'launches', 'lifetime', 'worker'),
  ...files('overlayfs', 'files', 'worker'),
];

/** They change the process that runs them for good: another user. */
const ALONE = files('cgroups', 'delegated');

const exclude = (globs) => globs.flatMap((g) => ['--exclude', g]);

const PACKAGES = ['cgroups', 'namespaces', 'overlayfs', 'runtime'].map((name) => `packages/${name}/test`);

/** All files in one process, or as many as said: what a file costs alone, vitest's worker and its imports, is most of its time here. */
const together = (processes) => ['--no-isolate', `--maxWorkers=${processes}`];

/**
 * The runs of vitest. Kernel tests stand each other, as they do outside (scripts/lanes.mjs), and keep both processors busy; beside them two
 * short ones, of which that with `user: true` is what an ordinary user does in a control group that was delegated to him. The promises
 * watch the whole machine, so they come alone and last. Where time is limited, those at the end may not get their turn.
 */
export function selectedRuns() {
  return [
    { title: 'files that need a process of their own', beside: true, options: ['--no-file-parallelism', ...ALONE] },
    { title: 'as an ordinary user', beside: true, user: true, options: [...together(1), 'packages/cgroups/test/host.test.ts'] },
    { title: 'kernel tests', order: ORDER, options: [...together(2), ...PACKAGES, ...exclude([...LEFT_OUT, ...ALONE])] },
    { title: 'end to end', order: ORDER, options: [...together(1), ...PROMISES] },
  ];
}

/** What `pnpm test:vm -- FILTERS` runs: each file in a process of its own, as outside; further arguments may change that. */
export const namedRun = (filters) => ({ title: filters.join(' '), order: ORDER, options: ['--no-file-parallelism', ...filters] });
