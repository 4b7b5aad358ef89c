// Which test files run beside which, and which run once: two processors are to be busy, and no test is to see what another does.

const packages = ['cgroups', 'image', 'namespaces', 'overlayfs', 'runtime'];
const test = (pack, ...names) => names.map((name) => `packages/${pack}/test/${name}.test.ts`);

/** Whoever runs them, the same code does the same: only the first user has them. */
const ONCE = [
  ...packages.map((name) => `packages/${name}/src/`),
  'internal/src/errors/',
  // Fuzzers, and oracles that are asked about numbers.
  ...test('image', 'fuzz'),
  ...test('namespaces', 'decode-fuzz', 'seccomp-oracle'),
  ...test('overlayfs', 'layer-fuzz'),
  // A registry is asked, and answers; nothing lies on the disk.
  ...test('image', 'auth', 'hostile', 'hostile-native', 'roads', 'tls', 'tls-refusals'),
  'e2e/layer-forms.test.ts',
];

/** Of what runs once, that in which a user's id, groups or folders matter after all. */
const BY_USER = [
  ...['src/host/', 'src/userns/', 'src/user/', 'src/session/'].map((dir) => `packages/runtime/${dir}`),
  ...['packages/cgroups/src/host/', 'packages/namespaces/src/userns/', 'packages/image/src/store/'],
];

/** They look at nothing but the files that they make, so they may run beside those that look at the whole host. */
const APART = ['packages/image/test/'];

/**
 * Half a minute each, and asked once, as root where we are root: builds with a sanitizer, and disks that fail or Nodes that are killed below a
 * store of their own.
 */
const BY_FIRST = [...test('namespaces', 'sanitized-init'), 'e2e/hostile/store-faults.test.ts'];

const exclude = (files) => files.flatMap((file) => ['--exclude', file.endsWith('/') ? `${file}**` : file]);

/**
 * Three lists of vitest's arguments for a user who is the first or not: `apart` may run beside all others, `kernel` beside `apart`,
 * and `promises` (end to end) watch the whole host, so nothing may run beside them. No file is in two of them.
 */
export function lanes(first) {
  const others = first ? [] : BY_FIRST;
  return {
    apart: first
      ? [...APART, ...ONCE]
      : [...APART, ...BY_USER, ...exclude(ONCE.filter((file) => APART.some((dir) => file.startsWith(dir))))],
    kernel: ['packages/', 'internal/', ...exclude([...APART, ...ONCE, ...others])],
    promises: ['e2e/', '--no-file-parallelism', ...exclude([...ONCE, ...others])],
  };
}
