// A further program's process object: the container's, changed by the call.
import { describe, expect, it } from 'vitest';
import { readExecOptions } from '../options/read-options.js';
import type { ExecOptions } from '../options/run-options.js';
import { compileExec } from './compile-exec.js';
import type { OciProcess } from './types.js';

const container: OciProcess = {
  user: { uid: 0, gid: 0, additionalGids: [0] },
  args: ['server'],
  env: ['PATH=/bin', 'HOME=/root', 'A=1'],
  cwd: '/srv',
  capabilities: { bounding: ['CAP_KILL'], effective: ['CAP_KILL'], permitted: ['CAP_KILL'], inheritable: [], ambient: [] },
  noNewPrivileges: true,
};
const compile = (options: ExecOptions = {}, user?: Parameters<typeof compileExec>[3]) => {
  const { command, spec } = readExecOptions(['ls', '-l'], options);
  return compileExec(container, command, spec, user);
};

describe('compileExec', () => {
  it('keeps all but the command', () => expect(compile()).toEqual({ ...container, args: ['ls', '-l'] }));

  it('changes environment and folder', () =>
    expect(compile({ env: { A: undefined, B: '2' }, cwd: '/' })).toMatchObject({ env: ['PATH=/bin', 'HOME=/root', 'B=2'], cwd: '/' }));

  it('gives an ordinary user no capabilities, and its own home and groups', () =>
    expect(compile({ user: 'node' }, { uid: 1000, gid: 1000, groups: [29], home: '/home/node', umask: 0o022 })).toEqual({
      ...container,
      args: ['ls', '-l'],
      env: ['PATH=/bin', 'HOME=/home/node', 'A=1'],
      user: { uid: 1000, gid: 1000, umask: 0o022, additionalGids: [1000, 29] },
      capabilities: { bounding: ['CAP_KILL'], effective: [], permitted: [], inheritable: [], ambient: [] },
    }));
});
