// Puts what was built natively, stripped, where a published package brings it: native/prebuilds/<platform>-<arch>/.
// Runs before a package with a native part is packed, and fails when the result would not load everywhere that Node does.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** What official builds of Node need themselves; a prebuilt addon may need nothing newer. */
const NEWEST = { GLIBC: [2, 28], GLIBCXX: [3, 4, 21], CXXABI: [1, 3, 9] };

const from = path.resolve('native/build/Release');
const to = path.resolve('native/prebuilds', `${process.platform}-${process.arch}`);

function isNewer(version, limit) {
  for (let i = 0; i < Math.max(version.length, limit.length); i++) {
    if ((version[i] ?? 0) !== (limit[i] ?? 0)) return (version[i] ?? 0) > (limit[i] ?? 0);
  }
  return false;
}

function tooNewSymbols(file) {
  const text = execFileSync('readelf', ['-V', '-W', file], { encoding: 'utf8' });
  return [...new Set(text.match(/\b(?:GLIBC|GLIBCXX|CXXABI)_[0-9.]+/g) ?? [])].filter((symbol) => {
    const [library, version] = symbol.split('_');
    return isNewer(version.split('.').map(Number), NEWEST[library]);
  });
}

const built = existsSync(from) ? readdirSync(from).filter((f) => f.endsWith('.node') || f === 'ctr-init') : [];
if (built.length === 0) {
  console.error(`nothing was built in ${from}; run "pnpm build" first`);
  process.exit(1);
}
mkdirSync(to, { recursive: true });
for (const name of built) {
  const file = path.join(to, name);
  copyFileSync(path.join(from, name), file);
  execFileSync(process.env.STRIP ?? 'strip', ['--strip-unneeded', file]);
  chmodSync(file, 0o755);
  const bad = name.endsWith('.node') ? tooNewSymbols(file) : [];
  if (bad.length > 0) {
    console.error(`${file} needs ${bad.join(', ')}, which older systems do not have`);
    process.exitCode = 1;
  }
}
