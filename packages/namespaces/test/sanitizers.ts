// How the tests build C++ with AddressSanitizer and UBSan, and whether this host can.
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { host, makeTempDir } from '@ctr/internal/testing';

export const CXX = process.env['CXX'] ?? 'g++';
export const SANITIZER_FLAGS = ['-std=c++20', '-g', '-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

host.define('sanitizers', {
  test: () => {
    const dir = makeTempDir('asan');
    writeFileSync(path.join(dir, 'a.cc'), 'int main() { return 0; }\n');
    execFileSync(CXX, [...SANITIZER_FLAGS, '-o', path.join(dir, 'a'), path.join(dir, 'a.cc')], { stdio: 'ignore' });
    return spawnSync(path.join(dir, 'a')).status === 0;
  },
  cure: 'install a C++ compiler with libasan and libubsan, on Debian: apt-get install g++',
});
