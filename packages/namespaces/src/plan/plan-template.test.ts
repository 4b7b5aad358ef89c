// A template's message says what the plan with the real name would have said.
import { describe, expect, it } from 'vitest';
import { describeSpawn, type SpawnOptions } from '../index.js';
import { encodePlan, MAX_DATAGRAM } from './encode-plan.js';
import { decodeMessage } from './fixtures.js';
import { PlanTemplate } from './plan-template.js';
import { findName, renameText } from './rename.js';

const PLACEHOLDER = '5f0c2ad1e67b4a9f8d13c2b4a6e8f001';
const NAME = 'aaaabbbbccccddddeeeeffff00001111';

const options = (
  name: string,
  args: readonly string[] = ['cat', name],
  env: Record<string, string> = { HOST: name.slice(0, 12) },
): SpawnOptions => ({
  args,
  env,
  hostname: name.slice(0, 12),
  namespaces: { mount: 'new', uts: 'new', pid: 'new', user: 'new' },
  mounts: [{ type: 'tmpfs', target: '/tmp' }],
  maskedPaths: ['/proc/keys'],
  stdio: ['ignore', 'pipe', 'pipe'],
  prepare: [{ call: 'mkdirat', args: [-100, `/run/${name}/x`, 0o700], doing: `make ${name}` }],
  cleanup: [{ call: 'unlinkat', args: [-100, `/run/${name}/x`, 0x200], allow: ['ENOENT'] }],
  cgroup: {
    prepare: [],
    setup: [],
    collect: [{ call: 'report_file', args: [`/sys/fs/cgroup/p/${name}/memory.peak`] }],
    cleanup: [],
  },
});

function template(from: SpawnOptions) {
  const plan = describeSpawn(from);
  const { setup } = plan.stages;
  return {
    made: new PlanTemplate({ ...plan, stages: { ...plan.stages, setup: setup.slice(0, -1) } }, PLACEHOLDER),
    program: setup.at(-1) ?? [],
  };
}

/** The program's steps of the same options with other arguments. */
const programOf = (from: SpawnOptions) => describeSpawn(from).stages.setup.at(-1) ?? [];
const fds = { stdout: 41, stderr: 42 };

describe('PlanTemplate', () => {
  it('gives the message of the plan with the real name, start after start', () => {
    const { made, program } = template(options(PLACEHOLDER));
    for (const name of [NAME, PLACEHOLDER, NAME.replaceAll('a', '7')]) {
      const source = made.start({ doing: 'go', name, program, fds });
      const real = { ...describeSpawn(options(name)), doing: 'go', fds };
      expect(decodeMessage(source.encode(9, 'launch'))).toMatchObject(without(decodeMessage(encodePlan(real, 9, 'launch'))));
      expect(source.encode(9, 'launch').fds).toEqual([41, 42]);
      expect(source.collectedPath(0)).toBe(`/sys/fs/cgroup/p/${name}/memory.peak`);
      expect(source.plan).toEqual(real);
    }
  });

  it('takes another program each time', () => {
    const { made } = template(options(PLACEHOLDER));
    for (const args of [['/bin/a'], ['b', 'x'.repeat(300), 'ü'], ['c']]) {
      const real = { ...describeSpawn(options(NAME, args, { A: 'b', LONG: 'y'.repeat(70) })), fds };
      const program = programOf(options(PLACEHOLDER, args, { A: 'b', LONG: 'y'.repeat(70) }));
      const message = made.start({ doing: 'go', name: NAME, program, fds }).encode(1, 'launch');
      expect(decodeMessage(message)).toMatchObject(without(decodeMessage(encodePlan(real, 1, 'launch'))));
    }
  });

  it('turns to a memfd when the program makes it too large for a datagram', () => {
    const { made } = template(options(PLACEHOLDER));
    const args = ['x', 'y'.repeat(MAX_DATAGRAM)];
    const message = made.start({ doing: 'go', name: NAME, program: programOf(options(PLACEHOLDER, args)), fds }).encode(1, 'launch');
    expect(decodeMessage(message)).toMatchObject(
      without(decodeMessage(encodePlan({ ...describeSpawn(options(NAME, args)), fds }, 1, 'launch'))),
    );
    expect(message.large).toBeDefined();
  });
});

/** Functions cannot be compared. */
const without = ({ map: _, ...rest }: ReturnType<typeof decodeMessage>) => rest;

describe('names', () => {
  it('are found whole and as their beginning', () => {
    expect(findName(Buffer.from(`a${PLACEHOLDER}b${PLACEHOLDER.slice(0, 12)}c${PLACEHOLDER.slice(0, 11)}`), PLACEHOLDER)).toEqual([
      1, 32, 34, 12,
    ]);
    expect(renameText(`${PLACEHOLDER}/${PLACEHOLDER.slice(0, 12)}`, PLACEHOLDER, NAME)).toBe(`${NAME}/${NAME.slice(0, 12)}`);
    expect(renameText('/plain', PLACEHOLDER, NAME)).toBe('/plain');
  });
});
