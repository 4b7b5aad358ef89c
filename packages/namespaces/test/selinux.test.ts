// SELinux labels on a kernel that enforces them, by a policy of our own:
// CTR_VM_KERNEL_ARGS=lsm=landlock,yama,selinux,bpf pnpm test:vm -- packages/namespaces/test/selinux.test.ts
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { enter, enterTemplate, type SpawnOptions, spawn, spawnTemplate } from '../src/index.js';
import { ENV, finished, leaks, messageOf, run, shell, WAYS } from './run.js';

const CURE = 'CTR_VM_KERNEL_ARGS=lsm=landlock,yama,selinux,bpf pnpm test:vm -- packages/namespaces/test/selinux.test.ts';
host.define('selinux-machine', {
  // A policy is loaded, so only where there is nothing to lose.
  test: () => process.env['CTR_VM'] === '1' && /\bselinuxfs$/m.test(readFileSync('/proc/filesystems', 'utf8')),
  cure: CURE,
});
host.define('secilc', { test: () => host.program('secilc') !== '', cure: 'install it, on Debian: apt-get install secilc' });
const needs = need('linux', 'root', 'selinux-machine', 'secilc');

const SELINUX = '/sys/fs/selinux';
const process_ = (type: string): string => `system_u:system_r:${type}:s0`;
const file = (type: string, level = 's0'): string => `system_u:object_r:${type}:${level}`;
const BOX = process_('ctr_box_t');
const CURRENT = "tr -d '\\000' </proc/thread-self/attr/current";
/** Long enough for a template's placeholder. */
const NAME = 'name-of-a-template-start';

/** Into a kernel that has none; a second file of the same run finds it loaded. */
function loadPolicy(): void {
  if (!existsSync(`${SELINUX}/load`)) execFileSync('mount', ['-t', 'selinuxfs', 'selinuxfs', SELINUX]);
  const policy = path.join(makeTempDir('policy'), 'policy');
  const source = path.resolve(import.meta.dirname, 'selinux.cil');
  const version = readFileSync(`${SELINUX}/policyvers`, 'utf8').trim();
  execFileSync(host.program('secilc'), ['-c', version, '-o', policy, '-f', '/dev/null', source]);
  writeFileSync(`${SELINUX}/load`, readFileSync(policy));
  writeFileSync(`${SELINUX}/enforce`, '1');
}

describe.skipIf(!needs.ok)(needs.title('SELinux'), () => {
  let dir = '';
  beforeAll(async () => {
    loadPolicy();
    dir = path.join(makeTempDir('labelled'), 'on');
    mkdirSync(dir);
    await shell('true');
  });

  it('gives nothing a label that is not asked for', async () => {
    expect(await shell(CURRENT)).toBe(process_('ctr_host_t'));
  });

  describe.each(WAYS)('$way', ({ user }) => {
    const namespaces = { user, pid: 'new', mount: 'new', ipc: 'new' } as const;
    const inBox = (): Partial<SpawnOptions> => ({ namespaces, selinuxLabel: BOX });

    it('the program and its children run under the label', async () => {
      const check = leaks();
      expect(await shell(`${CURRENT}; sh -c "${CURRENT}"`, inBox())).toBe(BOX + BOX);
      expect(await shell(CURRENT, { ...inBox(), noNewPrivileges: true, init: true, mounts: [{ type: 'proc', target: '/proc' }] })).toBe(
        BOX,
      );
      await check.assertClean({ withinMs: 10_000 });
    });

    it('file systems that are made have the mount label, and the policy holds for both', async () => {
      const seen = async (mountLabel: string | undefined, selinuxLabel: string | undefined) =>
        shell(`echo said >${dir}/f; stat -c %C ${dir}/f; cat ${dir}/f 2>/dev/null || echo refused`, {
          namespaces,
          mounts: [{ type: 'tmpfs', target: dir }],
          ...(mountLabel === undefined ? {} : { mountLabel }),
          ...(selinuxLabel === undefined ? {} : { selinuxLabel }),
        });
      expect(await seen(undefined, undefined)).toBe(`${file('ctr_host_t')}\nsaid`);
      expect(await seen(file('ctr_file_t', 's0:c1,c2'), BOX)).toBe(`${file('ctr_file_t', 's0:c1,c2')}\nsaid`);
      expect(await seen(file('ctr_secret_t'), undefined)).toBe(`${file('ctr_secret_t')}\nsaid`);
      expect(await seen(file('ctr_secret_t'), BOX)).toBe(`${file('ctr_secret_t')}\nrefused`);
    });

    it.each(['mqueue', 'devpts'] as const)('… %s too', async (type) => {
      const name = type === 'mqueue' ? '.' : 'ptmx';
      const o: Partial<SpawnOptions> = { namespaces, mounts: [{ type, target: dir }], mountLabel: file('ctr_file_t') };
      expect(await shell(`stat -c %C ${dir}/${name}`, o)).toBe(file('ctr_file_t'));
    });

    it('further programs have labels of their own, also from templates', async () => {
      await using box = await spawn({
        args: ['sleep', '600'],
        env: ENV,
        namespaces,
        mounts: [{ type: 'proc', target: '/proc' }],
        stdio: ['ignore', 'ignore', 'ignore'],
      });
      const args = ['sh', '-c', CURRENT];
      expect((await finished(await enter(box, { args, env: ENV, selinuxLabel: BOX }))).stdout).toBe(BOX);
      const beside = enterTemplate(box, { args, env: ENV, selinuxLabel: BOX });
      for (let i = 0; i < 2; i++) expect((await finished(await beside.enter({ args, env: ENV }))).stdout).toBe(BOX);
      const template = spawnTemplate({ args, namespaces, selinuxLabel: BOX }, NAME);
      for (let i = 0; i < 2; i++) expect((await finished(await template.spawn({ name: NAME, args, env: ENV }))).stdout).toBe(BOX);
    });

    it('what the policy does not have, or does not allow, fails the start and says which', async () => {
      const check = leaks();
      const failed = (o: Partial<SpawnOptions>) => messageOf(run({ args: ['true'], namespaces, ...o }));
      const unknown = await failed({ selinuxLabel: process_('ctr_never_t') });
      expect(unknown).toContain('start true: set the SELinux label system_u:system_r:ctr_never_t:s0: write: EINVAL');
      expect(unknown).toContain('hint: the loaded SELinux policy has no such context');
      expect(await failed({ args: ['/bin/true'], selinuxLabel: process_('ctr_nobody_t') })).toMatch(/execve: EACCES/);
      const mounts = [{ type: 'tmpfs', target: dir }] as const;
      expect(await failed({ mountLabel: file('ctr_never_t'), mounts })).toContain(`mount a tmpfs on ${dir}: fsconfig: EINVAL`);
      await check.assertClean({ withinMs: 10_000 });
    });
  });
});
