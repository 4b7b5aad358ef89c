// The monitor's decoder, the source that ships, is fed mutated plans under AddressSanitizer and UBSan. What they are mutated from
// is what the encoder writes for real options.
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_CAPABILITIES, defaultSeccompFilter, describeSpawn, Fd, type Plan } from '../src/index.js';
import { encodeParkedProgram, encodePlan, MESSAGE_HEADER_SIZE } from '../src/plan/encode-plan.js';
import { holdPlan } from '../src/plan/plan.js';
import { describeEnter, describeParked } from '../src/spawn/enter.js';
import { execute, parkedSteps } from '../src/spawn/program-steps.js';
import { ENV } from './run.js';
import { CXX, SANITIZER_FLAGS } from './sanitizers.js';

const native = path.resolve(import.meta.dirname, '../native');
/** Bounded here; `pnpm fuzz:plans` does ten million, in a minute or two. */
const ROUNDS = Number(process.env['CTR_FUZZ_ROUNDS'] ?? 500_000);
/** Another seed is another ten million; the same one repeats a finding. */
const SEED = process.env['CTR_FUZZ_SEED'] ?? '1';
const PATIENCE_MS = 60_000 + ROUNDS / 10;
const sanitizers = need('linux', 'sanitizers');

/** Both programs of a plan. */
function programs(plan: Plan): Uint8Array[] {
  const { message, large } = encodePlan(plan, 1, 'launch');
  const view = new DataView(message.buffer, message.byteOffset);
  const [launch, after] = [view.getUint32(28, true), view.getUint32(32, true)];
  const bytes = large ?? message.subarray(MESSAGE_HEADER_SIZE);
  return [bytes.subarray(0, launch), bytes.subarray(launch, launch + after)];
}

const NONE = { bounding: [...DEFAULT_CAPABILITIES], effective: [], permitted: [], inheritable: [], ambient: [] };

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
  describeEnter({ pid: 1, pidfd: 3 }, { args: ['id'], env: ENV, capabilities: NONE, oomScoreAdj: 1 }, ['user', 'mount', 'pid']),
  describeParked({ pid: 1, pidfd: 3 }, { args: ['id'], capabilities: NONE, seccomp: defaultSeccompFilter([]) }, ['mount', 'pid']),
  describeSpawn({ args: ['id'], seccomp: { program: defaultSeccompFilter([]), onListener: () => {} } }),
  describeSpawn({ args: ['id'], namespaces: { pid: Fd.of(3), time: Fd.of(4) }, stdio: ['pipe', 'inherit', 'ignore'] }),
  describeSpawn(
    { args: ['id'], namespaces: { user: 'new' }, cleanup: [{ call: 'remove_tree', args: ['/nowhere'] }] },
    { uid: 1, gid: 1 },
    { around: { fd: 3, idMaps: { uid: '0 0 1\n', gid: '0 0 1\n', denySetgroups: false }, start: undefined } },
  ),
  holdPlan('hold', [{ call: 'report_file', args: ['/x'] }], [{ call: 'close', args: [{ slot: 'x' }] }]),
];

/** Whole messages to a parked process. */
const MESSAGES = [
  { args: ['id'], env: ENV },
  { args: ['sh', '-c', 'x'.repeat(300)], cwd: '/tmp' },
].map((o) => {
  const slots = ['stdin', 'stdout', undefined];
  return encodeParkedProgram(parkedSteps(o, execute(o), slots), ['stdin', 'stdout']) as Uint8Array;
});

describe.skipIf(!sanitizers.ok)(sanitizers.title('decodeProgram'), () => {
  let fuzz: string;
  let files: string[];
  beforeAll(() => {
    const dir = makeTempDir('fuzz');
    fuzz = path.join(dir, 'decode_fuzz');
    execFileSync(CXX, [
      ...SANITIZER_FLAGS,
      '-Wall',
      '-Wextra',
      '-Werror',
      '-o',
      fuzz,
      `${native}/test/decode_fuzz.cc`,
      `${native}/init/decode.cc`,
    ]);
    files = [...PLANS.flatMap(programs), ...MESSAGES].map((bytes, i) => {
      const file = path.join(dir, `program-${i}`);
      writeFileSync(file, bytes);
      return file;
    });
  });

  it(
    `reads nothing outside of a program, whatever it says: ${ROUNDS} mutations of seed ${SEED}`,
    () => {
      const r = spawnSync(fuzz, [String(ROUNDS), SEED, ...files], { encoding: 'utf8', timeout: PATIENCE_MS });
      expect(r.stderr).toBe('');
      const [, rounds, accepted] = /^(\d+) rounds, (\d+) accepted\n$/.exec(r.stdout) ?? [];
      expect(Number(rounds)).toBe(ROUNDS);
      // Both ways are taken: else the mutations were too wild, or too tame.
      expect(Number(accepted)).toBeGreaterThan(ROUNDS / 100);
      expect(Number(accepted)).toBeLessThan(ROUNDS / 2);
    },
    PATIENCE_MS + 10_000,
  );
});
