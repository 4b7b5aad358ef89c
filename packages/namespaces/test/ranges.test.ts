// Ranges of ids: an ordinary user's by newuidmap, its maps seen from inside; claims that end with whoever made them.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { type ClaimedIds, claimIds, closeLauncher, createUserNamespace, namespacesOf, ownIdMaps, readSubIds } from '../src/index.js';
import { bundle, start } from './node-child.js';
import { asRoot, leaks, messageOf, shell } from './run.js';

const userns = need('userns');
const root = need('root', 'userns');
const USER = 65534;
const installed = ['/usr/bin/newuidmap', '/etc/subuid', '/etc/subgid'].every((f) => existsSync(f));
/** As root a user is made up, who has ranges in a mount namespace of his own; the files of the host stay as they are. */
const possible = userns.ok && (asRoot ? installed : readSubIds().missing === undefined);
const title = possible
  ? 'an ordinary user with ranges'
  : 'an ordinary user with ranges [skipped: needs newuidmap, and lines in /etc/subuid and /etc/subgid: apt-get install uidmap, and run as root]';

async function asUserWithRanges(script: string, args: string[] = []): Promise<{ lines: string[]; stderr: string }> {
  const file = await bundle(script);
  if (!asRoot) return collect(start(file, args));
  const dir = makeTempDir('ranges');
  chmodSync(dir, 0o755);
  chmodSync(path.dirname(file), 0o755);
  for (const name of ['subuid', 'subgid']) writeFileSync(path.join(dir, name), `${USER}:200000:65536\n${USER}:400000:1000\n`);
  const home = path.join(dir, 'home');
  execFileSync('mkdir', ['-m', '700', home]);
  chownSync(home, USER, USER);
  const as = `mount --bind ${dir}/subuid /etc/subuid && mount --bind ${dir}/subgid /etc/subgid && exec setpriv --reuid ${USER} --regid ${USER} --groups 4,24 env HOME=${home} TMPDIR=${home} XDG_RUNTIME_DIR=${home} "$@"`;
  const out = execFileSync('unshare', ['-m', 'sh', '-ec', as, 'sh', process.execPath, file, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 25_000,
  });
  return { lines: out.trim().split('\n'), stderr: '' };
}

async function collect(node: ReturnType<typeof start>): Promise<{ lines: string[]; stderr: string }> {
  let out = '';
  node.process.stdout?.on('data', (d: Buffer) => {
    out += d;
  });
  const { stderr } = await node.ended;
  return { lines: out.trim().split('\n'), stderr };
}

const HELPERS = `
  import { spawn, enter, enterTemplate, createUserNamespace, rangeIdMaps, keepIdMaps, ownIdMaps, readSubIds, claimIds, closeLauncher } from 'ns';
  import { text } from 'node:stream/consumers';
  import { readFileSync, statSync, writeFileSync } from 'node:fs';
  const env = { PATH: '/usr/bin:/bin' };
  const run = async (line, o) => {
    const p = await spawn({ args: ['sh', '-c', line], env, stdio: ['ignore', 'pipe', 'inherit'], ...o });
    const [out] = await Promise.all([text(p.stdout), p.exited, p.cleaned]);
    return out.trim().replace(/ +/g, ' ').replace(/\\n /g, '\\n');
  };
  const IDS = 'id -u; id -g; id -G; cat /proc/self/uid_map; cat /proc/self/setgroups';
  const user = { user: 'new', pid: 'new' };
  const say = (what) => console.log(JSON.stringify(what));
`;

describe.skipIf(!possible)(title, () => {
  it('is root inside, and the ranges are the other ids', async () => {
    const { lines } = await asUserWithRanges(`${HELPERS}
      const { uid } = readSubIds();
      const idMaps = rangeIdMaps();
      say(await run(IDS, { namespaces: user, idMaps }));
      say(await run(IDS, { namespaces: user, idMaps, user: { uid: 1000, gid: 1001, groups: [5, 6] } }));
      say([process.getuid(), uid]);
    `);
    const [asRootInside, asOther, facts] = lines.map((l) => JSON.parse(l)) as [string, string, [number, { start: number; size: number }[]]];
    const [own, ranges] = facts;
    // The map as the namespace around it has the ids: itself as 0, then the ranges.
    let at = 1;
    const expected = ranges.map((r) => {
      const line = `${at} ${at} ${r.size}`;
      at += r.size;
      return line;
    });
    expect(own).not.toBe(0);
    expect(asRootInside).toBe(['0', '0', '0', '0 0 1', ...expected, 'allow'].join('\n'));
    expect(asOther).toBe(['1000', '1001', '1001 5 6', '0 0 1', ...expected, 'allow'].join('\n'));
  });

  it('the host’s ids are those of the ranges: a file made inside belongs to them', async () => {
    const { lines } = await asUserWithRanges(`${HELPERS}
      const file = process.env.HOME + '/made';
      await run('mkdir -m 777 ' + process.env.HOME + '/open; chmod 711 ' + process.env.HOME, {});
      const own = process.env.HOME + '/open/file';
      await run('touch ' + own, { namespaces: user, idMaps: rangeIdMaps(), user: { uid: 7, gid: 8 } });
      const { uid, gid } = statSync(own);
      const ranges = readSubIds();
      say([uid - ranges.uid[0].start, gid - ranges.gid[0].start]);
      // Only from inside it can be removed again where the folder does not allow it.
      await run('rm ' + own, { namespaces: user, idMaps: rangeIdMaps() });
      const box = await spawn({ args: ['sleep', '600'], env, namespaces: user, idMaps: rangeIdMaps(), user: { uid: 7, gid: 8 }, stdio: ['ignore', 'ignore', 'ignore'] });
      const status = readFileSync('/proc/' + box.pid + '/status', 'utf8');
      say(Number(/^Uid:\\t(\\d+)/m.exec(status)[1]) - ranges.uid[0].start);
      box.kill('SIGKILL');
      say((await box.exited).signal);
    `);
    expect(lines.map((l) => JSON.parse(l))).toEqual([[6, 7], 6, 'SIGKILL']);
  });

  it('keep-id: the same number inside and outside', async () => {
    const { lines } = await asUserWithRanges(`${HELPERS}
      const [uid, gid] = [process.getuid(), process.getgid()];
      say(await run('id -u; id -g', { namespaces: user, idMaps: keepIdMaps(), user: { uid, gid } }) === uid + '\\n' + gid);
      say(await run('id -u', { namespaces: user, idMaps: keepIdMaps() }));
      say(await run('id -u; id -g', { namespaces: user, idMaps: ownIdMaps({ uid, gid }), user: { uid, gid } }) === uid + '\\n' + gid);
    `);
    expect(lines.map((l) => JSON.parse(l))).toEqual([true, '0', true]);
  });

  it('enters a running one as another user of it', async () => {
    const { lines } = await asUserWithRanges(`${HELPERS}
      const box = await spawn({ args: ['sleep', '600'], env, namespaces: { ...user, uts: 'new' }, idMaps: rangeIdMaps(), user: { uid: 5, gid: 5 }, stdio: ['ignore', 'ignore', 'ignore'] });
      for (const who of [{ uid: 0, gid: 0 }, { uid: 12, gid: 13 }]) {
        const p = await enter(box, { args: ['sh', '-c', 'id -u; id -g; id -G'], env, user: who, stdio: ['ignore', 'pipe', 'inherit'] });
        say((await text(p.stdout)).trim());
      }
      const inside = async (start) => (await text((await start).stdout)).trim();
      const options = { args: ['id', '-G'], env, user: { uid: 12, gid: 13, groups: [9] }, stdio: ['ignore', 'pipe', 'inherit'] };
      say(await inside(enter(box, options)));
      say(await inside(enterTemplate(box, options).enter(options)));
      const parked = await enterTemplate(box, options).park();
      say(await inside(parked.enter(options)));
      say(await inside(enter(box.pid, options)));
      const joined = { ...options, namespaces: { user: '/proc/' + box.pid + '/ns/user' } };
      say([await inside(spawn(joined)), await inside(spawn({ ...joined, user: { uid: 12, gid: 13 } }))]);
      await box[Symbol.asyncDispose]();
    `);
    expect(lines.map((l) => JSON.parse(l))).toEqual(['0\n0\n0', '12\n13\n13', '13 9', '13 9', '13 9', '13 9', ['13 9', '13']]);
  });

  it('maps his ranges once for all that he starts, and says why when it cannot', async () => {
    const { lines } = await asUserWithRanges(`${HELPERS}
      import { spawnTemplate } from 'ns';
      import { mkdtempSync } from 'node:fs';
      const dir = mkdtempSync(process.env.TMPDIR + '/helpers-');
      const helper = (name, real) => writeFileSync(dir + '/' + name, '#!/bin/sh\\necho ' + name + ' >> ' + dir + '/runs\\n' + real + '\\n', { mode: 0o755 });
      process.env.PATH = dir + ':/usr/bin:/bin';
      helper('newuidmap', 'sleep 0.3; echo ended >> ' + dir + '/runs');
      helper('newgidmap', 'echo not today >&2; exit 1');
      const options = { args: ['true'], namespaces: { ...user, uts: 'new' }, idMaps: rangeIdMaps(), hostname: 'placeholder-of-a-name', user: { uid: 7, gid: 8 }, stdio: ['ignore', 'pipe', 'inherit'] };
      const template = spawnTemplate(options, 'placeholder-of-a-name');
      const args = ['sh', '-c', 'hostname; id -u; readlink /proc/self/ns/user'];
      const start = async (n) => {
        const p = await template.spawn({ name: 'the-name-of-number-' + n, args, env });
        const [out] = await Promise.all([text(p.stdout), p.exited, p.cleaned]);
        return out.trim().split('\\n');
      };
      const refusal = await start(10).catch((e) => [e.code, e.message, e.hint]);
      say([...refusal, readFileSync(dir + '/runs', 'utf8').trim().split('\\n').sort()]);
      helper('newuidmap', 'exec /usr/bin/newuidmap "$@"');
      helper('newgidmap', 'exec /usr/bin/newgidmap "$@"');
      writeFileSync(dir + '/runs', '');
      const all = await Promise.all(Array.from({ length: 8 }, (_, i) => start(11 + i)));
      all.push(await start(19), (await run('hostname; id -u; readlink /proc/self/ns/user', { ...options, args: ['sh', '-c', 'hostname; id -u; readlink /proc/self/ns/user'], hostname: 'the-name-of-number-20' })).split('\\n'));
      say([all.map(([name, uid]) => name.slice(-2) + ' ' + uid), readFileSync(dir + '/runs', 'utf8').trim().split('\\n').sort()]);
    `);
    const [refused, [started, runs]] = readFirst(lines) as [unknown[], [string[], string[]]];
    expect(refused).toEqual([
      'CTR_UNSUPPORTED',
      expect.stringMatching(/newgidmap to succeed.*not today/),
      expect.stringMatching(/set-user-ID root/),
      // Neither runs on.
      ['ended', 'newgidmap', 'newuidmap'],
    ]);
    expect(started).toEqual(Array.from({ length: 10 }, (_, i) => `${i + 11} 7`));
    expect(runs).toEqual(['newgidmap', 'newuidmap']);
  });

  it('what its users made on disk goes with it, and by removeRangeTree; what a link leads to stays', async () => {
    const { lines } = await asUserWithRanges(`${HELPERS}
      import { removeRangeTree } from 'ns';
      import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
      const home = mkdtempSync(process.env.TMPDIR + '/trees-');
      writeFileSync(home + '/canary', 'alive');
      const make = async (name, idMaps, o) => {
        const dir = home + '/' + name;
        mkdirSync(dir);
        const line = 'cd ' + dir + '; for u in 3 9; do mkdir -p of$u/in/in; touch of$u/in/f; ln -s ../../../canary of$u/link; chown -hR $u:$u of$u; chmod 0 of$u/in; chmod 3700 of$u; done; chown 5:5 .';
        await run(line, { namespaces: user, idMaps, ...o(dir) });
        return dir;
      };
      const withIt = (dir) => ({ cleanup: [{ call: 'remove_tree', args: [dir] }] });
      const gone = [];
      for (const [i, idMaps] of [rangeIdMaps(), keepIdMaps()].entries()) gone.push(!existsSync(await make('clean' + i, idMaps, withIt)));
      gone.push(!existsSync(await make('forbid', rangeIdMaps(), (dir) => ({ ...withIt(dir), disableUserNamespaces: true }))));
      const dir = await make('left', rangeIdMaps(), () => ({}));
      let code;
      try { rmSync(dir, { recursive: true }); } catch (e) { code = e.code; }
      await removeRangeTree(dir);
      await removeRangeTree(dir);
      gone.push(!existsSync(dir));
      say([gone, code, readFileSync(home + '/canary', 'utf8'), await removeRangeTree('here').catch((e) => e.code), (await removeRangeTree(home + '/canary').catch((e) => e.message)).replace(home, '')]);
      rmSync(home, { recursive: true });
    `);
    expect(readFirst(lines)).toEqual([
      [[true, true, true, true], 'EACCES', 'alive', 'CTR_INVALID_ARGUMENT', expect.stringMatching(/^remove \/canary: .*ENOTDIR/)],
    ]);
  });

  it('forbids further user namespaces there too, and denies setgroups on request', async () => {
    const { lines } = await asUserWithRanges(`${HELPERS}
      say(await run('unshare -U true 2>/dev/null || echo refused; id -u', { namespaces: user, idMaps: rangeIdMaps(), user: { uid: 7, gid: 7 }, disableUserNamespaces: true }));
      say(await run('cat /proc/self/setgroups', { namespaces: user, idMaps: { ...rangeIdMaps(), setgroups: 'deny' } }));
      const idMaps = { ...rangeIdMaps(), setgroups: 'deny' };
      const box = await spawn({ args: ['sleep', '600'], env, namespaces: user, idMaps, stdio: ['ignore', 'ignore', 'ignore'] });
      const beside = (user) => enter(box, { args: ['id', '-u'], env, user, stdio: ['ignore', 'pipe', 'inherit'] });
      say((await text((await beside({ uid: 7, gid: 7 })).stdout)).trim());
      say(await beside({ uid: 7, gid: 7, groups: [9] }).catch((e) => [e.code, e.errno, e.hint]));
      const own = { namespaces: user, user: { uid: 0, gid: 0, groups: [5] } };
      say(await spawn({ args: ['true'], env, ...own }).catch((e) => [e.code, e.path]));
      say(await spawn({ args: ['true'], env, user: { uid: process.getuid(), gid: process.getgid(), groups: [5] } }).catch((e) => [e.code, e.path]));
      await box[Symbol.asyncDispose]();
    `);
    const refused = ['CTR_INVALID_ARGUMENT', 'user.groups'];
    expect(lines.map((l) => JSON.parse(l))).toEqual([
      'refused\n7',
      'deny',
      '7',
      ['CTR_START_FAILED', -1, expect.stringMatching(/denies setgroups/)],
      refused,
      refused,
    ]);
  });

  it('cannot map what is not his, and hears what is', async () => {
    const { lines } = await asUserWithRanges(`${HELPERS}
      const map = [{ containerId: 0, hostId: 10, size: 1 }];
      say(await run('true', { namespaces: user, idMaps: { uid: map, gid: map } }).catch((e) => [e.code, e.message]));
    `);
    const [code, message] = JSON.parse(lines[0] as string) as [string, string];
    expect([code, message]).toEqual([
      'CTR_INVALID_ARGUMENT',
      expect.stringMatching(/"idMaps.uid" to be ids that this user may map: .*received 10/),
    ]);
  });

  it('claims parts of his ranges, each once, and gives them back', async () => {
    const { lines } = await asUserWithRanges(`${HELPERS}
      const a = await claimIds({ size: 20000 });
      const b = await claimIds({ size: 20000 });
      const c = await claimIds({ size: 20000 });
      const starts = [a, b, c].map((x) => x.uid.start);
      say(new Set(starts).size);
      say(await claimIds({ size: 20000 }).catch((e) => e.code));
      say(await run('id -u; cat /proc/self/uid_map', { namespaces: user, idMaps: b.idMaps, user: { uid: 33, gid: 33 } }));
      await b.release();
      say((await claimIds({ size: 20000 })).uid.start === b.uid.start);
    `);
    const first = readFirst(lines);
    expect(first).toEqual([3, 'CTR_UNSUPPORTED', expect.stringMatching(/^33\n0 \d+ 20000$/), true]);
  });
});

const readFirst = (lines: string[]): unknown[] => lines.map((l) => JSON.parse(l) as unknown);

describe.skipIf(!userns.ok)(userns.title('createUserNamespace'), () => {
  it('one without a process, for several programs', async () => {
    using shared = await createUserNamespace(ownIdMaps());
    const seen = await Promise.all([1, 2].map(() => shell('readlink /proc/self/ns/user; id -u', { namespaces: { user: shared } })));
    expect(seen).toEqual([`${shared}\n0`, `${shared}\n0`]);
    expect(shared.id).not.toBe(namespacesOf().user);
    using parent = shared.parent();
    expect([parent?.id, shared.ownerUid()]).toEqual([namespacesOf().user, process.geteuid?.()]);
  });

  it('with room for so many below it', async () => {
    using narrow = await createUserNamespace(ownIdMaps(), { maxUserNamespaces: 0 });
    expect(
      await shell('cat /proc/sys/user/max_user_namespaces; unshare -U true 2>/dev/null || echo refused', { namespaces: { user: narrow } }),
    ).toBe('0\nrefused');
  });

  it('leaves nothing', async () => {
    (await createUserNamespace(ownIdMaps())).close();
    const check = leaks();
    for (let i = 0; i < 10; i++) (await createUserNamespace(ownIdMaps())).close();
    await check.assertClean();
  });

  it('refuses bad maps before anything is made', async () => {
    expect(await messageOf(createUserNamespace({ uid: [], gid: [] }))).toMatch(/"idMaps.uid" to be a non-empty array/);
  });
});

describe.skipIf(!root.ok)(root.title('claimIds as root'), () => {
  let lockFile: string;
  beforeAll(() => {
    lockFile = path.join(makeTempDir('claims'), 'lock');
  });

  it('a high range that nobody has', async () => {
    const claims: ClaimedIds[] = await Promise.all(Array.from({ length: 20 }, () => claimIds({ lockFile })));
    expect(new Set(claims.map((c) => c.uid.start)).size).toBe(20);
    for (const { uid, gid } of claims) {
      expect([uid.start % 65_536, uid.size, gid]).toEqual([0, 65_536, uid]);
      expect(uid.start).toBeGreaterThanOrEqual(524_288);
    }
    const [first] = claims as [ClaimedIds];
    expect(await shell("id -u; tr -s ' ' </proc/self/uid_map", { namespaces: { user: 'new' }, idMaps: first.idMaps })).toBe(
      `0\n 0 ${first.uid.start} 65536`,
    );
    await Promise.all(claims.map((c) => c.release()));
  });

  it('is free again after kill -9 of Node and the monitor', async () => {
    const script = await bundle(`${HELPERS}
      const claim = await claimIds({ lockFile: process.argv[2] });
      await spawn({ args: ['sleep', '600'], env, namespaces: user, idMaps: claim.idMaps, stdio: ['ignore', 'ignore', 'ignore'] });
      say(claim.uid.start);
      setInterval(() => {}, 1000);
    `);
    const locked = (): boolean => /OFDLCK/.test(locksOf(lockFile));
    const node = start(script, [lockFile]);
    const first = Number(await node.line());
    expect([first > 0, locked()]).toEqual([true, true]);
    node.process.kill('SIGKILL');
    await node.ended;
    await expect.poll(locked, { timeout: 2000 }).toBe(false);
  });

  it('a link in the place of the lock file is not followed', async () => {
    const link = path.join(makeTempDir('link'), 'lock');
    execFileSync('ln', ['-s', '/etc/passwd', link]);
    expect(await messageOf(claimIds({ lockFile: link }))).toMatch(/^claim a range of ids: open .*ELOOP/);
  });

  it('says when it is asked for nonsense', async () => {
    expect(await messageOf(claimIds({ size: 0 }))).toMatch(/"size" to be a whole number/);
    expect(await messageOf(claimIds({ lockFile: 'here' }))).toMatch(/"lockFile" to be an absolute path/);
    await closeLauncher();
  });

  /** Lines of /proc/locks that are about this file. */
  function locksOf(file: string): string {
    const { ino } = statSync(file);
    return readFileSync('/proc/locks', 'utf8')
      .split('\n')
      .filter((l) => l.includes(`:${ino} `))
      .join('\n');
  }
});
