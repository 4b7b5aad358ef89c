// Builds the addon of the package in the current folder with node-gyp, without the network:
// the headers are those that lie beside the running node, when it has them.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

const require = createRequire(path.join(process.cwd(), 'package.json'));
const gyp = require.resolve('node-gyp/bin/node-gyp.js');
const prefix = path.resolve(process.execPath, '..', '..');
const args = [gyp, '-C', 'native', ...(process.argv.length > 2 ? process.argv.slice(2) : ['configure', 'build', '-j', 'max'])];
if (existsSync(path.join(prefix, 'include/node/node_api.h'))) args.push(`--nodedir=${prefix}`);
if (process.argv.length === 2) {
  const archive = staticIsal();
  if (archive !== undefined) args.push('--', `-Disal_archive=${archive}`);
}
const r = spawnSync(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
// What node-gyp says of itself buries what the compiler said.
const speech = `${r.stdout ?? ''}${r.stderr ?? ''}${r.error ?? ''}`.split('\n').filter((line) => !/^gyp (info|http|verb)/.test(line));
if (r.status !== 0) process.stderr.write(`${speech.join('\n')}\n`);
process.exit(r.status ?? 1);

/** The static library of ISA-L, where the compiler has one that can be linked into a shared object. */
function staticIsal() {
  const compiler = process.env.CXX ?? 'g++';
  const archive = spawnSync(compiler, ['-print-file-name=libisal.a'], { encoding: 'utf8' }).stdout?.trim() ?? '';
  if (!path.isAbsolute(archive)) return undefined;
  const work = mkdtempSync(path.join(tmpdir(), 'ctr-isal-'));
  try {
    const source = path.join(work, 'a.cc');
    writeFileSync(source, '#include <isa-l/igzip_lib.h>\nint call(inflate_state* s) { return isal_inflate(s); }\n');
    const link = spawnSync(compiler, ['-shared', '-fPIC', '-Wl,-z,defs', '-Wl,-z,text', '-o', path.join(work, 'a.so'), source, archive]);
    return link.status === 0 ? archive : undefined;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
