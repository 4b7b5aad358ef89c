// The monitor's decoder is fed a hundred thousand mutated programs under AddressSanitizer and UBSan.
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { defaultSeccompFilter, describeSpawn, type Plan } from '../src/index.js';
import { encodePlan, MESSAGE_HEADER_SIZE } from '../src/plan/encode-plan.js';
import { holdPlan } from '../src/plan/plan.js';
import { ENV } from './run.js';

const CXX = process.env['CXX'] ?? 'g++';
const FLAGS = ['-std=c++20', '-g', '-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
const native = path.resolve(import.meta.dirname, '../native');

host.define('sanitizers', {
  test: () => {
    const dir = makeTempDir('asan');
    writeFileSync(path.join(dir, 'a.cc'), 'int main() { return 0; }\n');
    execFileSync(CXX, [...FLAGS, '-o', path.join(dir, 'a'), path.join(dir, 'a.cc')], { stdio: 'ignore' });
    return spawnSync(path.join(dir, 'a')).status === 0;
  },
  cure: 'install a C++ compiler with libasan and libubsan, on Debian: apt-get install g++',
});
const sanitizers = need('sanitizers');

/** Both programs of a plan. */
function programs(plan: Plan): Uint8Array[] {
  const { message, large } = encodePlan(plan, 1, 'launch');
  const view = new DataView(message.buffer, message.byteOffset);
  const [launch, after] = [view.getUint32(28, true), view.getUint32(32, true)];
  const bytes = large ?? message.subarray(MESSAGE_HEADER_SIZE);
  return [bytes.subarray(0, launch), bytes.subarray(launch, launch + after)];
}

const PLANS: Plan[] = [
  describeSpawn({ args: ['true'] }),
  describeSpawn({
    args: ['sh', '-c', 'exit 3'],
    env: ENV,
    namespaces: { user: 'new', mount: 'new', pid: 'new', network: 'new', uts: 'new', cgroup: 'new' },
    hostname: 'box',
    root: { steps: [{ call: 'open_tree', args: [-100, '/', 1], into: 'root' }], slot: 'root' },
    mounts: [
      { type: 'proc', target: '/proc' },
      { type: 'dev', target: '/dev' },
      { type: 'tmpfs', target: '/tmp', size: 4096 },
      { type: 'bind', source: '/etc', target: '/etc', readOnly: true },
    ],
    maskedPaths: ['/proc/kcore', '/etc/secret'],
    readonlyPaths: ['/proc/sys'],
    seccomp: defaultSeccompFilter([]),
    rlimits: { nofile: { soft: 1, hard: 2 } },
    oomScoreAdj: 5,
    user: { uid: 1, gid: 1, groups: [1, 2, 3] },
    cleanup: [{ call: 'remove_tree', args: ['/nowhere'], allow: ['ENOENT', 'EBUSY'], skipOnAllowed: 1 }],
  }),
  holdPlan('hold', [{ call: 'report_file', args: ['/x'] }], [{ call: 'close', args: [{ slot: 'x' }] }]),
];

describe.skipIf(!sanitizers.ok)(sanitizers.title('decodeProgram'), () => {
  let fuzz: string;
  let files: string[];
  beforeAll(() => {
    const dir = makeTempDir('fuzz');
    fuzz = path.join(dir, 'decode_fuzz');
    execFileSync(CXX, [...FLAGS, '-Wall', '-Wextra', '-Werror', '-o', fuzz, `${native}/test/decode_fuzz.cc`, `${native}/init/decode.cc`]);
    files = PLANS.flatMap(programs).map((bytes, i) => {
      const file = path.join(dir, `program-${i}`);
      writeFileSync(file, bytes);
      return file;
    });
  });

  it('reads nothing outside of a program, whatever it says: 100,000 mutations', () => {
    const seed = process.env['CTR_FUZZ_SEED'] ?? '1';
    const r = spawnSync(fuzz, [process.env['CTR_FUZZ_ROUNDS'] ?? '100000', seed, ...files], { encoding: 'utf8', timeout: 110_000 });
    expect(r.stderr).toBe('');
    const [, rounds, accepted] = /^(\d+) rounds, (\d+) accepted\n$/.exec(r.stdout) ?? [];
    // Both ways are taken: else the mutations were too wild, or too tame.
    expect(Number(accepted)).toBeGreaterThan(Number(rounds) / 100);
    expect(Number(accepted)).toBeLessThan(Number(rounds) / 2);
  }, 120_000);
});
