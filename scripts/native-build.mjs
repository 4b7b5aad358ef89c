// Builds the addon of the package in the current folder with node-gyp, without the network:
// the headers are those that lie beside the running node, when it has them.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.join(process.cwd(), 'package.json'));
const gyp = require.resolve('node-gyp/bin/node-gyp.js');
const prefix = path.resolve(process.execPath, '..', '..');
const args = [gyp, '-C', 'native', ...(process.argv.length > 2 ? process.argv.slice(2) : ['configure', 'build', '-j', 'max'])];
if (existsSync(path.join(prefix, 'include/node/node_api.h'))) args.push(`--nodedir=${prefix}`);
const r = spawnSync(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
// What node-gyp says of itself buries what the compiler said.
const speech = `${r.stdout ?? ''}${r.stderr ?? ''}${r.error ?? ''}`.split('\n').filter((line) => !/^gyp (info|http|verb)/.test(line));
if (r.status !== 0) process.stderr.write(`${speech.join('\n')}\n`);
process.exit(r.status ?? 1);
