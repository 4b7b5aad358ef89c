// The caller's last word on the OCI object.
import { describe, expect, it } from 'vitest';
import { readRunOptions } from '../options/read-options.js';
import { applySpecHook } from './apply-hook.js';
import { compileOci } from './compile.js';
import { ID, ROOT_HOST, ROOT_USER } from './fixtures.js';
import type { OciSpec } from './types.js';

const generated = compileOci({
  spec: readRunOptions({ image: 'a', command: ['x'] }),
  id: ID,
  image: undefined,
  rootPath: '/',
  user: ROOT_USER,
  host: ROOT_HOST,
  cgroupsPath: undefined,
});
const apply = (hook: (oci: OciSpec) => unknown): OciSpec => applySpecHook(generated, hook as never);

describe('applySpecHook', () => {
  it('passes the object through when nothing is changed', () => expect(apply(() => undefined)).toEqual(generated));

  it('takes changes and returned objects', () => {
    expect(apply((oci) => void oci.process.args.push('y')).process.args).toEqual(['x', 'y']);
    expect(apply((oci) => ({ ...oci, hostname: 'other' })).hostname).toBe('other');
    expect(generated.process.args).toEqual(['x']);
  });

  it('does not let a hook change what other containers share', () => {
    apply((oci) => void Object.assign(oci.linux.seccomp as object, { defaultAction: 'SCMP_ACT_ALLOW' }));
    expect(generated.linux.seccomp?.defaultAction).toBe('SCMP_ACT_ERRNO');
  });

  it('takes what says nothing', () => {
    const oci = apply((o) => ({ ...o, hooks: { prestart: [], poststop: undefined }, linux: { ...o.linux, intelRdt: {}, netDevices: {} } }));
    expect(oci).toEqual(generated);
  });

  it('takes every limit of the specification', () => {
    const resources = {
      devices: [{ allow: true, type: 'c' as const, major: -1, minor: -1, access: 'r' }],
      memory: { limit: -1, swap: -1, swappiness: 5, kernel: -1, useHierarchy: true, disableOOMKiller: false, checkBeforeUpdate: true },
      cpu: { shares: 512, quota: -1, burst: 5, period: 5000, realtimeRuntime: 1, realtimePeriod: 2, idle: 1 },
      blockIO: { weight: 20, weightDevice: [{ major: 8, minor: 0, weight: 30 }], throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 5 }] },
      hugepageLimits: [{ pageSize: '2MB', limit: 5 }],
      network: { classID: 7, priorities: [{ name: 'lo', priority: 3 }] },
      rdma: { mlx5_1: { hcaHandles: 3 } },
      pids: { limit: -1 },
    };
    expect(apply((o) => void Object.assign(o.linux, { resources })).linux.resources).toEqual(resources);
  });

  it.each([
    ['a namespace twice', (o: OciSpec) => void o.linux.namespaces.push({ type: 'network', path: '/proc/1/ns/net' })],
    ['a limit of the process twice', (o: OciSpec) => void o.process.rlimits?.push({ type: 'RLIMIT_CORE', soft: 1, hard: 1 })],
    ['a hook', (o: OciSpec) => void Object.assign(o, { hooks: { prestart: [{ path: '/bin/true' }] } })],
    ['a network device', (o: OciSpec) => void Object.assign(o.linux, { netDevices: { eth1: {} } })],
    ['another platform', (o: OciSpec) => void Object.assign(o, { windows: {} })],
    ['a field that is not supported', (oci: OciSpec) => void Object.assign(oci.linux, { intelRdt: { closID: 'a' } })],
    ['a misspelled field', (oci: OciSpec) => void Object.assign(oci.linux, { maskedPath: [] })],
    ['a wrong type', (oci: OciSpec) => void Object.assign(oci.process, { args: 'ls -l' })],
    ['a promise', async (oci: OciSpec) => oci],
    ['no object', () => 5],
    [
      'an exception',
      () => {
        throw new Error('mine');
      },
    ],
  ])('refuses %s', (_, hook) => expect(() => apply(hook)).toThrowErrorMatchingSnapshot()); // prettier-ignore
});
