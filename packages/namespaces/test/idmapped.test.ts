// Mounts whose owners are mapped: what a container with that map sees of the host's files, and what lies on disk after it.
import { chownSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createUserNamespace, idMappedMount, type Namespace, ownIdMaps, type SpawnOptions } from '../src/index.js';
import { asRoot, leaks, messageOf, run, shell } from './run.js';

const root = need('root', 'userns');
const userns = need('userns');
const START = 700_000;

describe.skipIf(!root.ok)(root.title('mounts with mapped ids'), () => {
  const map = [{ containerId: 0, hostId: START, size: 65_536 }];
  const idMaps = { uid: map, gid: map };
  let users: Namespace;
  let data: string;
  beforeAll(async () => {
    users = await createUserNamespace(idMaps);
    data = path.join(makeTempDir('idmapped'), 'data');
    mkdirSync(data, { mode: 0o755 });
    writeFileSync(path.join(data, 'ofroot'), 'secret', { mode: 0o600 });
    writeFileSync(path.join(data, 'of33'), '', { mode: 0o600 });
    chownSync(path.join(data, 'of33'), 33, 34);
  });
  afterAll(() => users?.close());
  const box = (o: Partial<SpawnOptions>): Partial<SpawnOptions> => ({
    namespaces: { user: 'new', mount: 'new', pid: 'new' },
    idMaps,
    ...o,
  });

  it('a bind: the files’ owners inside are those on disk, though the container’s root is nobody outside', async () => {
    const target = '/mnt';
    const look = `stat -c '%u %g' ${target}/ofroot ${target}/of33; cat ${target}/ofroot; echo; touch ${target}/made; chown 5:6 ${target}/made; stat -c '%u %g' ${target}/made`;
    const o = box({ mounts: [{ type: 'bind', source: data, target, idMap: users }] });
    expect(await shell(look, o)).toBe('0 0\n33 34\nsecret\n5 6');
    const { uid, gid } = statSync(path.join(data, 'made'));
    expect([uid, gid]).toEqual([5, 6]);
  });

  it('without a map the same folder belongs to nobody inside', async () => {
    // Below /, since the way to the temporary folder may be closed to other users.
    const o = box({ mounts: [{ type: 'bind', source: '/etc', target: '/mnt' }] });
    expect(await shell("stat -c '%u %g' /mnt/passwd", o)).toBe('65534 65534');
    expect(
      await shell("stat -c '%u %g' /mnt/passwd", box({ mounts: [{ type: 'bind', source: '/etc', target: '/mnt', idMap: users }] })),
    ).toBe('0 0');
  });

  it('read-only, and as a source that the caller holds', async () => {
    using tree = await idMappedMount(data, users, { readOnly: true });
    const o = box({ mounts: [{ type: 'bind', source: tree, target: '/mnt' }] });
    expect(await shell('stat -c %u /mnt/of33; touch /mnt/x 2>/dev/null || echo refused', o)).toBe('33\nrefused');
  });

  it('as a layer of an overlay', async () => {
    using tree = await idMappedMount(data, users);
    const lower = `/proc/${process.pid}/fd/${tree.fd}`;
    const script = `mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w /mnt/m && mount -t overlay none -o lowerdir=${lower},upperdir=/mnt/u,workdir=/mnt/w /mnt/m && stat -c '%u %g' /mnt/m/of33 /mnt/m/ofroot`;
    const r = await run({ args: ['sh', '-c', script], namespaces: { mount: 'new' } });
    // Before Linux 6.15 overlayfs takes no layer that is attached to nothing.
    if (r.exitCode === 0) expect(r.stdout).toBe(`${START + 33} ${START + 34}\n${START} ${START}\n`);
    else expect(r.stderr).toMatch(/mount/);
  });

  it('leaves nothing', async () => {
    (await idMappedMount(data, users)).close();
    const check = leaks();
    for (let i = 0; i < 5; i++) (await idMappedMount(data, users)).close();
    await shell('true', box({ mounts: [{ type: 'bind', source: data, target: '/mnt', idMap: users }] }));
    await messageOf(idMappedMount('/nowhere', users));
    await check.assertClean();
  });

  it('says what cannot be mapped', async () => {
    expect(await messageOf(idMappedMount('/nowhere', users))).toMatchInlineSnapshot(
      `"map the ids of /nowhere: open_tree "/nowhere": ENOENT (no such file or directory)"`,
    );
    expect(await messageOf(idMappedMount('/proc', users))).toMatchInlineSnapshot(`
      "map the ids of /proc: mount_setattr "/proc": EINVAL (invalid argument)
        hint: this file system cannot be mounted with mapped ids on this kernel, or something mounted in it cannot: give recursive: false"
    `);
    expect(
      await messageOf(
        run({ args: ['true'], ...box({ mounts: [{ type: 'bind', source: '/proc', target: '/mnt', recursive: false, idMap: users }] }) }),
      ),
    ).toMatchInlineSnapshot(`
      "start true: map the ids of /mnt: mount_setattr: EINVAL (invalid argument)
        mount_setattr(mount0, "", AT_EMPTY_PATH, {idmap=mount0.userns}, 32)
        hint: this file system cannot be mounted with mapped ids on this kernel, or something mounted in it cannot: give recursive: false"
    `);
    expect(await messageOf(idMappedMount('relative', users))).toMatch(/"path" to be an absolute path/);
  });
});

describe.skipIf(!userns.ok || asRoot)(userns.title('an ordinary user'), () => {
  it('cannot map the owners of the host’s files, and is told', async () => {
    using users = await createUserNamespace(ownIdMaps());
    expect(await messageOf(idMappedMount('/etc', users))).toMatch(/^map the ids of \/etc: open_tree.*EPERM/);
  });
});
