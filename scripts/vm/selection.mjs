// Which tests run in the test machine when none are named: all that ask the kernel something. New files are found by themselves.

/** The patience that emulation needs: a start costs 10 to 40 times what it does outside. vitest.config.ts multiplies its time limits. */
export const SLOWNESS = 10;

// Not shown to pass there yet: take a name away once `pnpm test:vm -- FILE` has passed, and add packages/runtime/test, packages/overlayfs/test and
// e2e/ below in the same way.
const NOT_YET = ['enter', 'hold', 'launches', 'mounts', 'namespaces', 'privileges', 'program', 'remove-tree', 'seccomp', 'worker'];

// Left out by name, each with the reason; everything else in the test folders and in e2e/ runs.
const LEFT_OUT = [
  // They ask no kernel: the same code gives the same result outside.
  'packages/*/src/**',
  'internal/**',
  'packages/namespaces/test/decode-fuzz.test.ts',
  ...NOT_YET.map((name) => `packages/namespaces/test/${name}.test.ts`),
  ...['auth', 'hostile', 'processes', 'pull', 'readme', 'store', 'tls'].map((name) => `packages/image/test/${name}.test.ts`),
];

const exclude = (globs) => globs.flatMap((g) => ['--exclude', g]);

/**
 * The runs of vitest: kernel tests side by side; then, with `user: true`, what an ordinary user does in a control group that was
 * delegated to him.
 */
export function selectedRuns() {
  return [
    { title: 'kernel tests', options: ['packages/cgroups/test', 'packages/namespaces/test', ...exclude(LEFT_OUT)] },
    { title: 'as an ordinary user', user: true, options: ['--no-file-parallelism', 'packages/cgroups/test/host.test.ts'] },
  ];
}
