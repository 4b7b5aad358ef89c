// Archives of GNU tar: the writer must make the same tree as tar itself.
import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, mkdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { isRoot, tree, unpack } from './trees.js';

const tar = (...args: string[]): void => void execFileSync('tar', args, { stdio: ['ignore', 'ignore', 'pipe'] });

/** A tree with one of everything that an ordinary user can make, and long and strange names. */
function makeSource(): string {
  const root = path.join(makeTempDir('source'), 'src');
  const at = (p: string): string => path.join(root, p);
  for (const d of ['', 'bin', 'etc', 'empty', 'sticky', 'deep', `deep/${'d'.repeat(80)}`, `deep/${'d'.repeat(80)}/${'e'.repeat(60)}`])
    mkdirSync(at(d), { recursive: true });
  writeFileSync(at('bin/tool'), Buffer.alloc(200_001, 7));
  chmodSync(at('bin/tool'), 0o4755);
  writeFileSync(at('etc/conf'), 'a=1\n', { mode: 0o600 });
  writeFileSync(at('etc/nothing'), '');
  writeFileSync(at('etc/ümläut "quoted"\\ back'), 'x');
  writeFileSync(at(`deep/${'d'.repeat(80)}/${'e'.repeat(60)}/${'f'.repeat(35)}`), 'long');
  linkSync(at('etc/conf'), at('etc/conf.link'));
  linkSync(at('bin/tool'), at(`deep/${'l'.repeat(90)}`));
  symlinkSync('../etc/conf', at('bin/conf'));
  symlinkSync('t'.repeat(180), at('bin/long-target'));
  symlinkSync('/absolute/nowhere', at('bin/dangling'));
  chmodSync(at('sticky'), 0o1777);
  chmodSync(at('empty'), 0o555);
  utimesSync(at('etc/conf'), 1_111_111_111, 1_111_111_111);
  utimesSync(at('etc'), 1_222_222_222, 1_222_222_222);
  utimesSync(at('bin'), 946_684_800, -5);
  return root;
}

describe('an archive made by GNU tar', () => {
  for (const format of ['gnu', 'posix', 'ustar'])
    it(`in ${format} format gives the tree that tar itself makes, in chunks of any size`, async () => {
      const source = makeSource();
      const work = makeTempDir('gnutar');
      const archive = path.join(work, 'a.tar');
      // ustar's field for a link's target has 100 bytes.
      const without = format === 'ustar' ? ['--exclude=long-target'] : [];
      tar('-cf', archive, `--format=${format}`, '--mtime=@1333333333', ...without, '-C', source, '.');
      const expected = path.join(work, 'expected');
      mkdirSync(expected);
      tar('-xpf', archive, '-C', expected, ...(isRoot ? ['--same-owner'] : []));
      const bytes = readFileSync(archive);
      for (const step of [1_000_000, 65_536, 513]) {
        const { directory, stats } = await unpack(bytes, { step });
        expect([...tree(directory)]).toEqual([...tree(expected)]);
        expect(stats).toMatchObject({ ownersDropped: isRoot ? 0 : expect.any(Number), xattrsDropped: 0, endMarker: true });
      }
    });

  it('keeps times to the nanosecond, before 1970 too', async () => {
    const source = makeSource();
    const archive = path.join(makeTempDir('gnutar'), 'a.tar');
    tar('-cf', archive, '--format=posix', '-C', source, '.');
    const { directory } = await unpack(readFileSync(archive));
    for (const name of ['etc', 'etc/conf', 'bin', 'bin/tool', 'sticky'])
      expect(statSync(path.join(directory, name), { bigint: true }).mtimeNs, name).toBe(
        statSync(path.join(source, name), { bigint: true }).mtimeNs,
      );
  });
});

const root = need('mknod');
describe.skipIf(!root.ok)(root.title('an archive made by GNU tar as root'), () => {
  it('keeps owners, devices, FIFOs and extended attributes', async () => {
    const source = makeSource();
    execFileSync('mknod', [path.join(source, 'null'), 'c', '1', '3']);
    execFileSync('mknod', [path.join(source, 'disk'), 'b', '260', '300']);
    execFileSync('mkfifo', ['-m', '622', path.join(source, 'fifo')]);
    for (const [owner, name] of [
      ['1000:1001', 'etc/conf'],
      ['4294967294:7', 'bin/tool'],
      ['3000000:3000000', 'empty'],
      ['12:34', 'bin/conf'],
      ['5:6', 'null'],
    ] as const)
      execFileSync('chown', ['-h', owner, path.join(source, name)]);
    chmodSync(path.join(source, 'bin/tool'), 0o6755);
    const work = makeTempDir('gnutar');
    const archive = path.join(work, 'a.tar');
    tar('-cf', archive, '--format=posix', '-C', source, '.');
    const { directory, stats } = await unpack(readFileSync(archive));
    expect([...tree(directory)]).toEqual([...tree(source)]);
    expect(stats).toMatchObject({ ownersDropped: 0, devicesSkipped: 0, implicitDirectories: 0 });
    // Byte for byte: what tar makes of our tree is what it made of the source, but for the root that no layer changes.
    const again = (of: string): Buffer =>
      execFileSync(
        'tar',
        [
          '-cf',
          '-',
          '--sort=name',
          '--format=posix',
          '--pax-option=delete=atime,delete=ctime',
          '--xattrs',
          '--xattrs-include=*',
          '-C',
          of,
          'bin',
          'deep',
          'empty',
          'etc',
          'fifo',
          'null',
          'sticky',
        ],
        { maxBuffer: 2 ** 26 },
      );
    expect(again(directory).equals(again(source))).toBe(true);
  });
});
