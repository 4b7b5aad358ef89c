// The tar reader and the EROFS writer are fed mutated archives under AddressSanitizer and UBSan; every image that comes of it
// is read back by rules of the kernel's own reader.
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { archive, dir, file, hardlink, header, long, pax, symlink } from './tar-builder.js';

const CXX = process.env['CXX'] ?? 'g++';
const FLAGS = ['-std=c++20', '-g', '-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
const native = path.resolve(import.meta.dirname, '../native');
const SOURCES = ['tar_reader', 'tar_header', 'tar_sparse', 'pax', 'entry_name', 'layer_tree', 'erofs_image'].map(
  (name) => `${native}/src/${name}.cc`,
);

host.define('sanitizers', {
  test: () => {
    const work = makeTempDir('asan');
    writeFileSync(path.join(work, 'a.cc'), 'int main() { return 0; }\n');
    execFileSync(CXX, [...FLAGS, '-o', path.join(work, 'a'), path.join(work, 'a.cc')], { stdio: 'ignore' });
    return spawnSync(path.join(work, 'a')).status === 0;
  },
  cure: 'install a C++ compiler with libasan and libubsan, on Debian: apt-get install g++',
});
const sanitizers = need('sanitizers');

const ARCHIVES = [
  archive(dir('./'), dir('d'), file('d/f', 'content'), symlink('link', 'd'), file('link/g', 'x'.repeat(2000)), hardlink('h', 'd/f')),
  archive(
    file('d/.wh.x', ''),
    dir('d'),
    file('d/.wh..wh..opq', ''),
    file('.wh.gone', ''),
    file('.wh.d2', ''),
    dir('d2'),
    file('implicit/a/b', 'c'),
  ),
  archive(
    header({ name: 'null', type: '3', major: 1, minor: 3 }),
    header({ name: 'fifo', type: '6' }),
    Buffer.concat([
      pax({ path: 'p'.repeat(300).replace(/.{60}/g, '$&/'), mtime: '-1.5', 'SCHILY.xattr.user.a': 'v'.repeat(600) }),
      file('x', 'y'),
    ]),
    Buffer.concat([long('L', 'l'.repeat(200)), file('x', 'y')]),
    Buffer.concat([pax({ linkpath: 't'.repeat(700) }), symlink('long-target', 'x')]),
    ...Array.from({ length: 60 }, (_, i) => file(`many/${'n'.repeat(i + 1)}`, 'x'.repeat(i))),
  ),
  archive(
    Buffer.concat([pax({ 'GNU.sparse.size': '9000', 'GNU.sparse.map': '0,512,4096,1024,9000,0' }), file('s', Buffer.alloc(1536, 'x'))]),
    Buffer.concat([
      pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 'v1', 'GNU.sparse.realsize': '70000' }),
      file('y', Buffer.concat([Buffer.from('2\n512\n512\n69632\n368\n'.padEnd(512, '\0')), Buffer.alloc(880, 'x')])),
    ]),
  ),
];

describe.skipIf(!sanitizers.ok)(sanitizers.title('the tar reader and the EROFS writer'), () => {
  let fuzz: string;
  let files: string[];
  beforeAll(() => {
    const work = makeTempDir('fuzz');
    fuzz = path.join(work, 'layer_fuzz');
    execFileSync(CXX, [...FLAGS, '-Wall', '-Wextra', '-Werror', '-o', fuzz, `${native}/test/layer_fuzz.cc`, ...SOURCES]);
    files = ARCHIVES.map((bytes, i) => {
      writeFileSync(path.join(work, `${i}.tar`), bytes);
      return path.join(work, `${i}.tar`);
    });
  }, 240_000);

  it('take any archive without a slip, and make no image that points outside of itself', () => {
    const [rounds, seed] = [process.env['CTR_FUZZ_ROUNDS'] ?? '20000', process.env['CTR_FUZZ_SEED'] ?? '1'];
    const run = spawnSync(fuzz, [rounds, seed, ...files], { encoding: 'utf8', timeout: 110_000 });
    expect(run.stderr).toBe('');
    const [, done, accepted] = /^(\d+) rounds, (\d+) accepted\n$/.exec(run.stdout) ?? [];
    expect(done).toBe(rounds);
    // Both ways are taken: else the mutations were too wild, or too tame.
    expect(Number(accepted)).toBeGreaterThan(Number(rounds) / 100);
    expect(Number(accepted)).toBeLessThan(Number(rounds));
  }, 120_000);
});
