// AppArmor labels on a kernel that has it: `pnpm test:vm -- packages/namespaces/test/apparmor.test.ts` boots one.
import { loadProfiles, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { enter, enterTemplate, type SpawnOptions, spawn, spawnTemplate } from '../src/index.js';
import { ENV, finished, leaks, messageOf, run, shell, WAYS } from './run.js';

const CONFINED = `ctr-test-confined-${process.pid}`;
const OTHER = `ctr-test-other-${process.pid}`;
const body = 'file, capability, signal, ptrace, mount, umount, pivot_root, network, unix,';
const PROFILES = `
profile ${CONFINED} flags=(attach_disconnected,mediate_deleted) { ${body} deny /etc/passwd r, }
profile ${OTHER} flags=(attach_disconnected,mediate_deleted) { ${body} }
`;

const needs = need('linux', 'apparmor');
const CURRENT = 'cat /proc/self/attr/apparmor/current';
/** Long enough for a template's placeholder. */
const NAME = 'name-of-a-template-start';

describe.skipIf(!needs.ok)(needs.title('AppArmor'), () => {
  beforeAll(async () => {
    const remove = loadProfiles(PROFILES);
    await shell('true');
    return remove;
  });

  it('confines nothing that is not asked for', async () => {
    expect(await shell(CURRENT)).toBe('unconfined');
  });

  it.each(WAYS)('confines the program and its children to the profile, $way', async ({ user }) => {
    const check = leaks();
    const o: Partial<SpawnOptions> = { namespaces: { user, pid: 'new', mount: 'new' }, apparmorProfile: CONFINED };
    expect(await shell(CURRENT, o)).toBe(`${CONFINED} (enforce)`);
    // The rule, and not only the name: what the profile denies is denied to this user's root too.
    expect(await shell('cat /etc/passwd >/dev/null 2>&1; echo $?; cat /etc/group >/dev/null; echo $?', o)).toBe('1\n0');
    expect(await shell(CURRENT, { ...o, noNewPrivileges: true, init: true, mounts: [{ type: 'proc', target: '/proc' }] })).toBe(
      `${CONFINED} (enforce)`,
    );
    await check.assertClean({ withinMs: 10_000 });
  });

  it('gives further programs a profile of their own, also from templates', async () => {
    const box = await spawn({
      args: ['sleep', '600'],
      env: ENV,
      namespaces: { pid: 'new', mount: 'new' },
      mounts: [{ type: 'proc', target: '/proc' }],
      stdio: ['ignore', 'ignore', 'ignore'],
      apparmorProfile: OTHER,
    });
    const args = ['sh', '-c', CURRENT];
    expect((await finished(await enter(box, { args, env: ENV, apparmorProfile: CONFINED }))).stdout).toBe(`${CONFINED} (enforce)\n`);
    const beside = enterTemplate(box, { args, env: ENV, apparmorProfile: OTHER });
    for (let i = 0; i < 2; i++) expect((await finished(await beside.enter({ args, env: ENV }))).stdout).toBe(`${OTHER} (enforce)\n`);
    await box[Symbol.asyncDispose]();
    const template = spawnTemplate({ args, apparmorProfile: CONFINED, namespaces: { pid: 'new' } }, NAME);
    for (let i = 0; i < 2; i++)
      expect((await finished(await template.spawn({ name: NAME, args, env: ENV }))).stdout).toBe(`${CONFINED} (enforce)\n`);
  });

  it('is had together with Landlock rules that let nothing be written', async () => {
    const landlock = { paths: [{ path: '/', access: ['read', 'execute'] }] } as const;
    for (const noNewPrivileges of [false, true])
      expect(
        await shell(`${CURRENT}; touch /tmp/x 2>/dev/null || echo refused`, { landlock, noNewPrivileges, apparmorProfile: OTHER }),
      ).toBe(`${OTHER} (enforce)\nrefused`);
  });

  it('a profile that is not loaded fails the start, which says what and why', async () => {
    const check = leaks();
    for (const namespaces of [{}, { pid: 'new', mount: 'new' }] as const)
      expect(await messageOf(run({ args: ['true'], namespaces, apparmorProfile: 'ctr-test-nobody-loaded' }))).toMatchInlineSnapshot(`
        "start true: set the AppArmor profile ctr-test-nobody-loaded: write: ENOENT (no such file or directory)
          write(label, "exec ctr-test-nobody-loaded", 27)
          hint: no such profile is loaded: aa-status lists them, apparmor_parser -r loads one"
      `);
    await check.assertClean({ withinMs: 10_000 });
  });
});
