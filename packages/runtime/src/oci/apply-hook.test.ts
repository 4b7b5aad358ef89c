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

  it.each([
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
