// ctr-init once more under AddressSanitizer and UBSan: the tests of the kernel run again with a monitor that is the same source,
// built with both, and neither may report anything.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { findNative } from '@ctr/internal/native';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { CXX, SANITIZER_FLAGS } from './sanitizers.js';

const sanitizers = need('linux', 'sanitizers');
const root = path.resolve(import.meta.dirname, '../../..');
const native = path.resolve(import.meta.dirname, '../native');

/** Those that reach every part of native/init, and do not wait for seconds on purpose. */
const TESTS = 'program enter failures mounts namespaces privileges launches hold spares parked seccomp-listener'.split(' ');

/** LeakSanitizer asks for its parent when ctr-init ends as a container's first process; under a filter that asks somebody it waits for the answer. */
const LEFT_OUT = '^(?!.*a first process that reaps)';

/** As an environment of its own: nothing of the vitest around it, whose files and reports are not ours. */
function cleanEnv(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(VITEST|CTR_|CI$|NODE_OPTIONS$|TEST$)/.test(name));
  return { ...Object.fromEntries(own), CTR_REQUIRE: '' };
}

describe.skipIf(!sanitizers.ok)(sanitizers.title('ctr-init under AddressSanitizer and UBSan'), () => {
  let config: string;
  let logs: string;

  beforeAll(() => {
    const dir = makeTempDir('sanitized');
    config = path.join(dir, 'config');
    logs = path.join(dir, 'logs');
    for (const d of [config, logs]) mkdirSync(d);
    // Programs of other users inside may be what finds something.
    chmodSync(logs, 0o777);
    const sources = readdirSync(`${native}/init`).filter((f) => f.endsWith('.cc') && f !== 'main.cc');
    const log = `-DCTR_SANITIZER_LOG="${logs}/log"`;
    execFileSync(CXX, [
      ...SANITIZER_FLAGS,
      ...['-fno-exceptions', '-fno-rtti', '-fno-threadsafe-statics', '-Wall', '-Wextra', '-Werror', log],
      ...['-o', path.join(config, 'ctr-init'), `${native}/test/sanitized_main.cc`],
      ...sources.map((f) => `${native}/init/${f}`),
    ]);
    symlinkSync(findNative(`${native}/`, 'ctr_namespaces.node'), path.join(config, 'ctr_namespaces.node'));
  });

  it('passes the tests of the kernel, and neither finds anything', () => {
    const vitest = [path.join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--configLoader=runner', '--reporter=dot', '-t', LEFT_OUT];
    const files = TESTS.map((name) => `packages/namespaces/test/${name}.test.ts`);
    const r = spawnSync(process.execPath, [...vitest, '--no-file-parallelism', '--update=none', ...files], {
      cwd: root,
      encoding: 'utf8',
      timeout: 280_000,
      env: { ...cleanEnv(), CTR_NATIVE_CONFIG: path.relative(path.join(native, 'build'), config) },
    });
    const reports = readdirSync(logs).map((f) => readFileSync(path.join(logs, f), 'utf8'));
    expect(reports.filter((text) => text !== '')).toEqual([]);
    expect({ status: r.status, output: r.status === 0 ? '' : (r.stdout + r.stderr).slice(-8000) }).toEqual({ status: 0, output: '' });
    expect(readdirSync(logs)).toContain('log-ran');
  }, 300_000);
});
