// Device rules of one's own: files on v1, a program of the container's own group on v2.
import { leakCheck, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { type OciSpec, type RunOptions, runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

const n = need('busybox', 'root', 'cgroup:memory');

/** Numbers without a driver: who is let through to it hears that (ENXIO), who is not hears of the rules (EPERM). */
const NODES = [
  { path: '/dev/a', type: 'c', major: 240, minor: 7, fileMode: 0o600 },
  { path: '/dev/b', type: 'c', major: 240, minor: 8, fileMode: 0o600 },
] as const;

const A = { allow: true, type: 'c', major: 240, minor: 7, access: 'r' } as const;

const withNodes =
  (rules?: NonNullable<NonNullable<OciSpec['linux']['resources']>['devices']>) =>
  (oci: OciSpec): OciSpec => {
    oci.linux.devices = NODES.map((node) => ({ ...node }));
    if (rules !== undefined) oci.linux.resources = { ...oci.linux.resources, devices: rules };
    return oci;
  };

const SCRIPT = 'for d in a b null; do cat /dev/$d 2>&1 && echo null opens; done; true';
const NO_DRIVER = 'No such device or address';
const REFUSED = 'Operation not permitted';
const told = (a: string, b: string): string => `cat: can't open '/dev/a': ${a}\ncat: can't open '/dev/b': ${b}\nnull opens\n`;

describe.skipIf(!n.ok)(n.title('device rules'), () => {
  let rootfs = '';
  const opens = (options: RunOptions): Promise<string> =>
    runContainer({ rootfs, command: ['sh', '-c', SCRIPT], userns: 'host', ...options }).text();
  beforeAll(() => {
    rootfs = busyboxRoot();
  });

  it('let in what they name, and what every container has, and nothing else', async () => {
    expect(await opens({ spec: withNodes() })).toBe(told(REFUSED, REFUSED));
    const before = leakCheck();
    expect(await opens({ spec: withNodes([{ allow: false }, A]) })).toBe(told(NO_DRIVER, REFUSED));
    expect(await opens({ spec: withNodes([{ allow: true }, { ...A, allow: false }]) })).toBe(told(REFUSED, NO_DRIVER));
    await before.assertClean();
  });

  it('hold for what is run in the container later', async () => {
    await using box = await runContainer({ rootfs, command: ['sleep', '100'], userns: 'host', spec: withNodes([{ allow: false }, A]) });
    expect(await box.exec(['sh', '-c', SCRIPT]).text()).toBe(told(NO_DRIVER, REFUSED));
  });
});
