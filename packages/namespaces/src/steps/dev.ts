// The container's own /dev: a tmpfs with the OCI default devices and links, made before anything of the image is
// looked at, so that nothing of the image decides what a device is (CVE-2025-31133, CVE-2026-41579).
// <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#default-devices>
import { named, type Step, slot } from '@ctr/internal/steps';
import { attach, cloneTree, newMount } from './mount-steps.js';

const S_IFCHR = 0o020000;
const S_IFREG = 0o100000;
/** Name, major, minor. */
const NODES = [
  ['null', 1, 3],
  ['zero', 1, 5],
  ['full', 1, 7],
  ['random', 1, 8],
  ['urandom', 1, 9],
  ['tty', 5, 0],
] as const;
const LINKS = [
  ['pts/ptmx', 'ptmx'],
  ['/proc/self/fd', 'fd'],
  ['/proc/self/fd/0', 'stdin'],
  ['/proc/self/fd/1', 'stdout'],
  ['/proc/self/fd/2', 'stderr'],
] as const;
export const DEV_SLOT = 'dev';
const DOING = 'make /dev';

const makedev = (major: number, minor: number): number => (major << 8) | minor;

/** Before the pivot: the tmpfs with its nodes, detached; without CAP_MKNOD copies of the host's nodes are taken along. */
export function prepareDev(o: {
  mknod: boolean;
  console: boolean;
  /** Of the tmpfs; default 64 MiB, and a folder that root alone writes to. */
  options: Readonly<Record<string, string | true>>;
  attributes: readonly string[];
}): Step[] {
  const dev = slot(DEV_SLOT);
  const node = ([name, major, minor]: (typeof NODES)[number]): Step[] =>
    o.mknod
      ? [
          {
            call: 'mknodat',
            args: [dev, name, named(S_IFCHR | 0o666, 'S_IFCHR|0666'), named(makedev(major, minor), `makedev(${major}, ${minor})`)],
            doing: DOING,
            path: `/dev/${name}`,
          },
        ]
      : [
          { call: 'mknodat', args: [dev, name, named(S_IFREG | 0o666, 'S_IFREG|0666'), 0], doing: DOING, path: `/dev/${name}` },
          cloneTree(`/dev/${name}`, `dev.${name}`, { recursive: false, doing: DOING }),
        ];
  return [
    ...newMount('tmpfs', DEV_SLOT, {
      options: { mode: '755', size: '65536k', ...o.options },
      attributes: o.attributes,
      doing: DOING,
    }),
    // The nodes' modes are final, whatever the umask: set to 0 here, to the program's own later.
    { call: 'umask', args: [0] },
    ...NODES.flatMap(node),
    ...LINKS.map(([to, name]): Step => ({ call: 'symlinkat', args: [to, dev, name], doing: DOING, path: `/dev/${name}` })),
    ...['pts', 'shm', 'mqueue'].map(
      (d): Step => ({ call: 'mkdirat', args: [dev, d, named(0o755, '0755')], doing: DOING, path: `/dev/${d}` }),
    ),
    // Where a terminal is shown, if there is one.
    ...(o.console
      ? [
          {
            call: 'mknodat',
            args: [dev, 'console', named(S_IFREG | 0o620, 'S_IFREG|0620'), 0],
            doing: DOING,
            path: '/dev/console',
          } satisfies Step,
        ]
      : []),
    { call: 'umask', args: [0o022] },
  ];
}

/** After /dev is attached. */
export const attachDevNodes = (o: { mknod: boolean; target: string }): Step[] =>
  o.mknod ? [] : NODES.map(([name]) => attach(`dev.${name}`, `${o.target}/${name}`, { doing: DOING }));
