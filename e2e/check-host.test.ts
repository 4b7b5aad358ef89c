// The promise: where a host forbids user namespaces, checkHost() says what does, and what to do about it.
import './fixtures/store.js';
import { text } from 'node:stream/consumers';
import { need } from '@ctr/internal/testing';
import { compileSeccomp, createUserNamespace, ownIdMaps, type SpawnOptions, spawn } from '@ctr/namespaces';
import { describe, expect, it } from 'vitest';
import { children } from './fixtures/child.js';

const n = need('linux', 'userns');

async function checkedIn(o: Partial<SpawnOptions>): Promise<{ ok: boolean; why: string; cure: string }> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter((e): e is [string, string] => e[1] !== undefined && e[0] !== 'NODE_OPTIONS'),
  );
  const node = await spawn({ args: [process.execPath, `${children}check.mjs`], env, ...o });
  const [out, errors] = await Promise.all([
    text(node.stdout as NodeJS.ReadableStream),
    text(node.stderr as NodeJS.ReadableStream),
    node.exited,
  ]);
  if (out === '') throw new Error(errors);
  return JSON.parse(out);
}

const NEWUSER = 0x10000000;

describe.skipIf(!n.ok)(n.title('a host that forbids user namespaces'), () => {
  it('by a limit of 0', async () => {
    using narrow = await createUserNamespace(ownIdMaps(), { maxUserNamespaces: 0 });
    expect(await checkedIn({ namespaces: { user: narrow } })).toEqual({
      ok: false,
      why: 'the number of user namespaces is limited to 0',
      cure: 'sysctl -w user.max_user_namespaces=16384',
    });
  });

  it('by a limit of what is around this process, which shows nowhere', async () => {
    const found = await checkedIn({ namespaces: { user: 'new' }, disableUserNamespaces: true });
    expect(found).toMatchObject({ ok: false, why: expect.stringContaining('no further user namespace is left') });
    expect(found.cure).toContain('user.max_user_namespaces');
  });

  it('by the seccomp filter of an outer container', async () => {
    const flag = { index: 0, value: NEWUSER, valueTwo: NEWUSER, op: 'SCMP_CMP_MASKED_EQ' as const };
    // As container engines have it: clone3 hides its flags in memory, so it is said to be missing.
    const seccomp = compileSeccomp({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [
        { names: ['unshare', 'clone'], action: 'SCMP_ACT_ERRNO', errnoRet: 1, args: [flag] },
        { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
      ],
    });
    const found = await checkedIn({ seccomp, noNewPrivileges: true });
    expect(found).toMatchObject({
      ok: false,
      why: expect.stringContaining('seccomp filter'),
      cure: expect.stringContaining('--security-opt seccomp'),
    });
  });
});
