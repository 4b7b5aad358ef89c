// Which tests run in the test machine when none are named, and in which order: where the time is limited, the most important come first.

/** The patience that emulation needs: a start costs 10 to 40 times what it does outside. vitest.config.ts multiplies its time limits. */
export const SLOWNESS = 10;

const files = (folder, ...names) => names.map((name) => `${folder}/${name}.test.ts`);
const kernel = (pack, ...names) => files(`packages/${pack}/test`, ...names);

// Ranks of importance, by path: limits on the only host with all of cgroup v2, then what runs and what is left behind, then everything else,
// in each rank what says most in little time; what takes long comes last.
const ORDER = [
  ...kernel('cgroups', 'limits', 'enforced', 'round-trip', 'oom', 'control', 'hand-over', 'events'),
  ...kernel('runtime', 'limits', 'namespaces', 'device-rules', 'oci-process', 'writable-layer', 'run-container'),
  ...kernel('overlayfs', 'overlay', 'layer-whiteouts', 'workspace'),
  ...kernel('namespaces', 'namespaces', 'mounts', 'privileges', 'join', 'failures', 'init', 'looking'),
  ...['packages/cgroups/test/', 'packages/runtime/test/', 'packages/overlayfs/test/', 'packages/namespaces/test/', 'internal/'],
  ...['packages/image/src/', 'packages/runtime/src/', 'packages/image/test/'],
  // End to end: what each says in a second.
  ...files('e2e', 'run', 'limits', 'check-host', 'oracle', 'failure'),
  ...files('e2e/hostile', 'identity', 'syscalls', 'signals', 'network', 'threads'),
  'e2e/',
  ...files('e2e', 'cleanup'),
  ...files('e2e/hostile', 'executables', 'masks', 'resources', 'faults-node', 'store-faults'),
  // A quarter of a minute each, and more.
  ...kernel('namespaces', 'attributes', 'given-up', 'legacy', 'seccomp', 'failures-of-each-kind', 'mount-options', 'ranges'),
  // A minute each: many Nodes, many images.
  ...kernel('overlayfs', 'overlay-places'),
  ...kernel('runtime', 'image-paths'),
  ...kernel('image', 'processes', 'kills'),
];

/** Where the tests lie that ask the kernel something: all in test/, and those beside their source that lock or look at what is real. */
const KERNEL = [
  ...['cgroups', 'image', 'namespaces', 'overlayfs', 'runtime'].map((name) => `packages/${name}/test`),
  ...['packages/image/src/store', 'packages/runtime/src/session', 'internal/src/testing'],
];

/** What is bundled for the machine (bundle.mjs), so that it can be named. */
export const FOLDERS = [...KERNEL, 'e2e'];

/** Of those folders, what is not run unless it is named, by the reason that the report gives. New files run by themselves. */
export const LEFT_OUT = {
  'they ask no kernel: the same code gives the same result outside': [
    ...kernel('namespaces', 'decode-fuzz', 'seccomp-oracle'),
    ...kernel('overlayfs', ...['bounds', 'fuzz', 'hostile-data', 'hostile-names', 'pipeline', 'tar'].map((name) => `layer-${name}`)),
    ...kernel('overlayfs', 'gzip-readers'),
  ],
  'a registry is asked, and answers; nothing lies on the disk': [
    ...kernel('image', 'auth', 'fuzz', 'hostile', 'hostile-native', 'hostile-native-zlib', 'idle-lines', 'roads', 'tls', 'tls-refusals'),
  ],
  'they import TypeScript that they write, which only Vite can': [
    ...['cgroups', 'image', 'overlayfs'].flatMap((pack) => kernel(pack, 'readme')),
  ],
  'folders of the root are mapped, which is an overlay there: needs Linux 6.15': kernel('namespaces', 'idmapped'),
  'crowds, many Nodes and builds with a sanitizer, which take many minutes under emulation': [
    ...kernel('namespaces', 'enter-many', 'sanitized-init', 'remove-tree', 'launches', 'lifetime', 'worker'),
    ...kernel('overlayfs', 'files', 'worker'),
  ],
  'how the packages are made, which asks no kernel': ['e2e/package.test.ts'],
  'not seen to their end under emulation yet; they run when they are named': [
    ...kernel('image', 'native-layers', 'pull', 'push', 'store', 'processes', 'kills'),
    ...files('e2e', 'image', 'registry-interop', 'examples', 'layer-forms', 'hostile/store-faults'),
  ],
};

/** They change the process that runs them for good: another user. */
const ALONE = kernel('cgroups', 'delegated');

/** What an ordinary user does in a control group that was delegated to him: the first beside the kernel tests, the others at the end. */
const BY_USER = [...kernel('cgroups', 'host'), ...kernel('runtime', 'limits')];
const BY_USER_TOO = ['packages/cgroups/test', ...kernel('runtime', 'run-container'), 'e2e/rootless.test.ts', 'e2e/limits.test.ts'];

/** Of a machine whose process 1 is systemd. */
const WITH_SYSTEMD = [...kernel('cgroups', 'systemd', 'host', 'limits'), ...kernel('runtime', 'limits')];

const exclude = (globs) => globs.flatMap((g) => ['--exclude', g]);
const leftOut = exclude(Object.values(LEFT_OUT).flat());

/** All files in one process, or as many as said: what a file costs alone, vitest's worker and its imports, is most of its time here. */
const together = (processes) => ['--no-isolate', `--maxWorkers=${processes}`];

/**
 * The runs of vitest. Kernel tests stand each other, as they do outside (scripts/lanes.mjs), and keep both processors busy; beside them two
 * short ones, of which that with `user: true` is what an ordinary user does. The promises watch the whole machine, so they come alone and
 * after them. Where time is limited, those at the end may not get their turn.
 */
export function selectedRuns() {
  return [
    { title: 'files that need a process of their own', beside: true, options: ['--no-file-parallelism', ...ALONE] },
    { title: 'as an ordinary user', beside: true, user: true, options: [...together(1), ...BY_USER] },
    { title: 'kernel tests', order: ORDER, options: [...together(2), ...KERNEL, ...leftOut, ...exclude(ALONE)] },
    { title: 'end to end', order: ORDER, options: [...together(1), 'e2e/', ...leftOut] },
    {
      title: 'as an ordinary user, in what was delegated to him',
      user: true,
      order: ORDER,
      options: [...together(1), ...BY_USER_TOO, ...leftOut, ...exclude([...ALONE, ...BY_USER])],
    },
    { title: 'booted with systemd', systemd: true, options: [...together(1), ...WITH_SYSTEMD] },
  ];
}

/** What `pnpm test:vm -- FILTERS` runs: each file in a process of its own, as outside; further arguments may change that. */
export const namedRun = (filters) => ({ title: filters.join(' '), order: ORDER, options: ['--no-file-parallelism', ...filters] });
