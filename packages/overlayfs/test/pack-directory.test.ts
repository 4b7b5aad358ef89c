// A folder of the host as a layer: with GNU tar and our own reader as judges of what is in it.
import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, mkdirSync, readdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { type PackDirectoryOptions, packDirectory } from '../src/index.js';
import { archive, dir, file, hardlink, header, pax, symlink } from './tar-builder.js';
import { differences, treeFacts } from './tree-facts.js';
import { isRoot, names, unpack } from './trees.js';

async function pack(directory: string, options?: PackDirectoryOptions): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of packDirectory(directory, options)) pieces.push(piece);
  return Buffer.concat(pieces);
}

const openFiles = (): number => readdirSync('/proc/self/fd').length;

/** VFS_CAP_REVISION_2 with the effective bit and CAP_NET_RAW, <linux/capability.h>. */
const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');

/** One of everything that an archive can hold and this user can make. */
async function everything(): Promise<string> {
  const long = `${'d'.repeat(90)}/${'ü'.repeat(60)}`;
  const { directory } = await unpack(
    archive(
      dir('etc', { mode: 0o2750, uid: 7, gid: 8 }),
      pax({ 'SCHILY.xattr.user.color': Buffer.from([0, 1, 10, 61]), 'SCHILY.xattr.security.capability': capability }),
      file('etc/ping', 'x'.repeat(513), { mode: 0o4755, uid: 70_000, gid: 3_000_000, mtime: 1_234_567_890 }),
      hardlink('also', 'etc/ping'),
      symlink('etc/link', '../../..//nowhere'),
      symlink('etc/to-a-long-name', 'y'.repeat(100)),
      file('empty', ''),
      file(Buffer.from('latin1-\xe9', 'latin1') as unknown as string),
      file('big', Buffer.alloc(700_000, 'big')),
      header({ name: 'fifo', type: '6', mode: 0o600 }),
      dir('d'.repeat(90)),
      pax({ path: long }),
      file('x'),
      ...(isRoot ? [header({ name: 'device', type: '4', major: 259, minor: 70_000 })] : []),
    ),
    { form: 'dir' },
  );
  return directory;
}

describe('packDirectory', () => {
  it('gives a layer that unpacks to the same tree, with links, owners, times, devices and attributes', async () => {
    const source = await everything();
    const { directory, stats } = await unpack(await pack(source));
    expect(stats).toMatchObject({ ownersDropped: isRoot ? 0 : expect.any(Number), xattrsDropped: 0, implicitDirectories: 0 });
    expect(differences(await treeFacts(source), await treeFacts(directory))).toEqual([]);
    const facts = (await treeFacts(directory)).get('also');
    expect(facts).toContain('user.color=00010a3d');
    if (isRoot) expect(facts).toContain(`security.capability=${capability.toString('hex')}`);
  });

  it('is read by GNU tar, names in the order of their bytes', async () => {
    const source = await everything();
    const extracted = makeTempDir('extracted');
    const tar = await pack(source);
    execFileSync('tar', ['-xp', '--numeric-owner', '-C', extracted], { input: tar });
    const plain = (facts: Map<string, string>): Map<string, string> =>
      new Map([...facts].filter(([name]) => name !== '/').map(([name, line]) => [name, line.replace(/ (user|security)\.\S+/g, '')]));
    expect(differences(plain(await treeFacts(source)), plain(await treeFacts(extracted)))).toEqual([]);
    const listed = execFileSync('tar', ['-t', '--quoting-style=literal'], { input: tar, encoding: 'latin1' }).trim().split('\n');
    expect(listed.map((n) => n.replace(/\/$/, ''))).toEqual(names(source));
  });

  it('gives the same bytes whoever owns the files and whenever they were made, on demand', async () => {
    const make = (time: number): string => {
      const root = makeTempDir('same');
      mkdirSync(path.join(root, 'b'));
      for (const name of ['b/z', 'a']) writeFileSync(path.join(root, name), name);
      for (const name of ['b/z', 'a', 'b']) utimesSync(path.join(root, name), new Date(time), new Date(time));
      return root;
    };
    const [one, two] = [make(1e9), make(-5000)];
    const same = { owner: { uid: 0, gid: 3_000_000 }, mtime: 2 ** 33 };
    expect((await pack(one, same)).equals(await pack(two, same))).toBe(true);
    expect((await pack(one)).equals(await pack(two))).toBe(false);
    expect((await pack(two)).toString('latin1', 136, 148)).toBe('00000000000\0');
    expect((await pack(one, same)).toString('latin1')).toMatch(/ gid=3000000\n\d+ mtime=8589934592\n/);
  });

  it('leaves out sockets and follows no link', async () => {
    const root = makeTempDir('links');
    const outside = makeTempDir('outside');
    writeFileSync(path.join(outside, 'secret'), 'secret-of-the-host');
    symlinkSync(outside, path.join(root, 'out'));
    symlinkSync('.', path.join(root, 'self'));
    const server = createServer().listen(path.join(root, 'socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    try {
      const tar = await pack(root);
      expect(tar.includes('secret-of-the-host')).toBe(false);
      expect(names((await unpack(tar)).directory)).toEqual(['out', 'self']);
    } finally {
      server.close();
    }
  });

  it('is an archive of nothing for an empty folder', async () => {
    expect((await pack(makeTempDir('empty'))).equals(Buffer.alloc(1024))).toBe(true);
  });

  it('goes deep and wide, and lets go of everything', async () => {
    const root = makeTempDir('deep');
    chmodSync(root, 0o755);
    const deep = path.join(root, ...Array.from({ length: 200 }, (_, i) => `d${i}`));
    mkdirSync(deep, { recursive: true });
    writeFileSync(path.join(deep, 'bottom'), 'x');
    linkSync(path.join(deep, 'bottom'), path.join(root, 'z'));
    const before = openFiles();
    const { directory } = await unpack(await pack(root));
    expect(differences(await treeFacts(root), await treeFacts(directory))).toEqual([]);
    for await (const piece of packDirectory(root)) {
      expect(piece.length).toBeGreaterThan(512);
      break;
    }
    expect(openFiles()).toBe(before);
  });

  it('stops by its signal, and tells a file that shrank', async () => {
    const root = makeTempDir('large');
    writeFileSync(path.join(root, 'large'), '');
    truncateSync(path.join(root, 'large'), 64 * 2 ** 20);
    const before = openFiles();
    const stop = new AbortController();
    const aborted = (async () => {
      for await (const piece of packDirectory(root, { signal: stop.signal })) if (piece.length > 0) stop.abort(new Error('enough'));
    })();
    await expect(aborted).rejects.toMatchObject({ code: 'ABORT_ERR' });
    const shrunk = (async () => {
      for await (const piece of packDirectory(root)) if (piece.length > 0) truncateSync(path.join(root, 'large'), 1000);
    })();
    await expect(shrunk).rejects.toMatchObject({
      code: 'CTR_IMAGE_INVALID',
      message: expect.stringContaining('"large": it became shorter'),
    });
    expect(openFiles()).toBe(before);
  });

  it('says what cannot be read, and refuses what makes no sense', async () => {
    await expect(pack('/nonexistent/x')).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open', path: '/nonexistent/x' });
    await expect(pack('/dev/null')).rejects.toMatchObject({ code: 'ENOTDIR' });
    await expect(pack('relative')).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
    const wrong = [{ owner: { uid: -1, gid: 0 } }, { owner: { uid: 0 } }, { mtime: 1.5 }, { mtimes: 1 }, { owner: 0 }];
    for (const options of wrong) await expect(pack('/', options as never)).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
  });

  const user = need('ordinary-user');
  it.skipIf(!user.ok)(user.title('names the file that this user may not read'), async () => {
    const root = makeTempDir('closed');
    writeFileSync(path.join(root, 'closed'), 'x');
    chmodSync(path.join(root, 'closed'), 0);
    await expect(pack(root)).rejects.toMatchObject({ code: 'EACCES', path: 'closed' });
  });
});
