// Every option against values that it must not have: each is refused by name before anything is touched.
import { openSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Fd, InvalidArgumentError, type SpawnOptions } from '../index.js';
import { checkEnterOptions, checkSpawnOptions } from './check-options.js';

const cyclic: Record<string, unknown> = {};
cyclic['self'] = cyclic;
/** Wrong for nearly everything. */
const STRANGE: readonly unknown[] = [
  null,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -1,
  1.5,
  2 ** 53,
  Symbol('s'),
  5n,
  () => {},
  cyclic,
  new Date(),
  ['\0'],
  [null],
  '\0',
  'a\0b',
  '\ud800',
  '',
  'x'.repeat(200_000),
  true,
];

/** Sets a value deep in options that are right otherwise. */
function withOption(path: string, value: unknown): SpawnOptions {
  const o = {
    args: ['true'],
    env: { A: 'b' },
    namespaces: { user: 'new', mount: 'new', uts: 'new', pid: 'new', time: 'new' },
    timeOffsets: {},
    idMaps: { uid: [{ containerId: 0, hostId: 0, size: 1 }], gid: [{ containerId: 0, hostId: 0, size: 1 }] },
    root: { steps: [], slot: 'root', temporary: ['scaffold'] },
    mounts: [
      { type: 'bind', source: '/a', target: '/b' },
      { type: 'tmpfs', target: '/t' },
    ],
    maskedPaths: ['/m'],
    readonlyPaths: ['/r'],
    hostname: 'h',
    user: { uid: 0, gid: 0, groups: [1] },
    capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
    rlimits: { nofile: { soft: 1, hard: 1 } },
    stdio: ['ignore', 'ignore', 'ignore'],
    cgroup: { prepare: [], setup: [], collect: [], cleanup: [] },
  } as Record<string, unknown>;
  const keys = path.split('.');
  let at = o;
  for (const k of keys.slice(0, -1)) at = at[k] as Record<string, unknown>;
  at[keys.at(-1) as string] = value;
  return o as unknown as SpawnOptions;
}

/** Options by path, with those of the strange values that are right for them. */
const TABLE: readonly (readonly [path: string, right: (value: unknown) => boolean])[] = [
  ['args', () => false],
  ['args.0', (v) => typeof v === 'string' && v !== '' && !/[\0\ud800]/.test(v) && v.length < 130_000],
  ['env', (v) => v instanceof Date],
  ['env.A', (v) => v === ''],
  ['cwd', () => false],
  ['createCwd', (v) => v === true],
  ['user', () => false],
  ['user.uid', () => false],
  ['user.gid', () => false],
  ['user.groups', () => false],
  ['user.groups.0', () => false],
  ['user.umask', () => false],
  ['capabilities', () => false],
  ['capabilities.bounding', () => false],
  ['capabilities.ambient', () => false],
  ['noNewPrivileges', (v) => v === true],
  ['seccomp', () => false],
  ['rlimits', (v) => v instanceof Date],
  ['rlimits.nofile', (v) => v === Number.POSITIVE_INFINITY || v === -1],
  ['rlimits.nofile.soft', () => false],
  ['oomScoreAdj', (v) => v === -1],
  ['stdio', () => false],
  ['stdio.1', () => false],
  ['cgroup', () => false],
  ['cgroup.prepare', () => false],
  ['cgroup.setup', () => false],
  ['cgroup.kill', () => false],
  ['cgroup.collect', () => false],
  ['cgroup.cleanup', () => false],
  ['cgroup.cloneInto', (v) => v === ''],
  ['cgroup.limitsMemory', (v) => v === true],
  ['doing', (v) => v === ''],
  ['hints', (v) => typeof v === 'function'],
  ['namespaces', () => false],
  ['namespaces.pid', () => false],
  ['timeOffsets', (v) => v instanceof Date],
  ['timeOffsets.monotonic', (v) => v === -1 || v === 1.5],
  ['disableUserNamespaces', (v) => v === true],
  ['idMaps', () => false],
  ['idMaps.setgroups', () => false],
  ['idMaps.uid', () => false],
  ['idMaps.uid.0', () => false],
  ['idMaps.uid.0.containerId', () => false],
  ['idMaps.gid.0.hostId', () => false],
  ['idMaps.gid.0.size', (v) => v === 1],
  ['root', () => false],
  ['root.steps', () => false],
  ['root.temporary', () => false],
  ['root.temporary.0', (v) => v === ''],
  ['root.slot', (v) => v === ''],
  ['readOnlyRoot', (v) => v === true],
  ['mounts', () => false],
  ['mounts.0', () => false],
  ['mounts.0.type', () => false],
  ['mounts.0.source', () => false],
  ['mounts.0.target', () => false],
  ['mounts.0.recursive', (v) => v === true],
  ['mounts.0.propagation', () => false],
  ['mounts.0.readOnly', (v) => v === true],
  ['mounts.1.size', () => false],
  ['mounts.1.mode', () => false],
  ['maskedPaths', () => false],
  ['maskedPaths.0', () => false],
  ['readonlyPaths.0', () => false],
  ['hostname', (v) => v === ''],
  ['domainname', (v) => v === ''],
  ['loopback', (v) => v === true],
  ['prepare', () => false],
  ['cleanup', () => false],
];

const shown = (value: unknown): string => {
  try {
    return typeof value === 'symbol' || typeof value === 'function' ? typeof value : JSON.stringify(value)?.slice(0, 30);
  } catch {
    return Object.prototype.toString.call(value);
  }
};

describe('checkSpawnOptions', () => {
  it.each(TABLE.map(([path, right]) => ({ path, right })))('$path', ({ path, right }) => {
    for (const value of STRANGE) {
      let thrown: unknown;
      try {
        checkSpawnOptions(withOption(path, value));
      } catch (e) {
        thrown = e;
      }
      const what = `${path} = ${shown(value)}`;
      if (right(value)) {
        expect([what, thrown]).toEqual([what, undefined]);
        continue;
      }
      expect([what, thrown instanceof InvalidArgumentError]).toEqual([what, true]);
      // The option is named: itself, or the part of it that is wrong.
      const named = (thrown as InvalidArgumentError).path.replace(/\[(\d+)\]/g, '.$1');
      expect([what, named.startsWith(path) || path.startsWith(named)]).toEqual([what, true]);
    }
  });

  it('takes what is right', () => {
    for (const path of ['cwd', 'mounts.0.source', 'maskedPaths.0']) expect(() => checkSpawnOptions(withOption(path, '/x'))).not.toThrow();
    using fd = Fd.of(openSync('/', 'r'));
    expect(() => checkSpawnOptions(withOption('stdio.1', fd))).not.toThrow();
    expect(() => checkSpawnOptions(withOption('mounts.0.source', fd))).not.toThrow();
    expect(() => checkSpawnOptions({ args: ['true'], namespaces: { pid: fd, network: fd, user: fd } })).not.toThrow();
  });

  const message = (o: object): string => {
    try {
      checkSpawnOptions(o as SpawnOptions);
    } catch (e) {
      return (e as Error).message;
    }
    return 'nothing was thrown';
  };

  it('names the right spelling', () => {
    const args = ['true'];
    expect([
      message({ args, hostnmae: 'x' }),
      message({ args, readonlyRoot: true }),
      message({ args, user: { uid: 0, gid: 0, group: [] } }),
      message({ args, namespaces: { net: 'new' } }),
      message({ args, namespaces: { mount: 'new' }, mounts: [{ type: 'tmpfs', target: '/t', readonly: true }] }),
      message({ args, namespaces: { mount: 'new' }, mounts: [{ type: 'proc', target: '/proc', size: 5 }] }),
      message({ args, capabilities: { boundng: [] } }),
      message({ args, rlimits: { nofil: 5 } }),
      message({ args, privileged: true }),
    ]).toMatchInlineSnapshot(`
      [
        "expected "hostnmae" to be a known option (did you mean "hostname"?), received "x" (string)",
        "expected "readonlyRoot" to be a known option (did you mean "readOnlyRoot"?), received true (boolean)",
        "expected "user.group" to be a known option (did you mean "groups"?), received an array of 0",
        "expected "namespaces.net" to be a known option, received "new" (string)",
        "expected "mounts[0].readonly" to be a known option (did you mean "readOnly"?), received true (boolean)",
        "expected "mounts[0].size" to be a known option, received 5 (number)",
        "expected "capabilities.boundng" to be a known option (did you mean "bounding"?), received an array of 0",
        "expected "rlimits" to be named after resource limits such as 'nofile' (did you mean "nofile"?), received "nofil" (string)",
        "expected "privileged" to be a known option, received true (boolean)",
      ]
    `);
  });

  it('says what does not go together', () => {
    const args = ['true'];
    expect([
      message({ args, mounts: [] }),
      message({ args, readOnlyRoot: true }),
      message({ args, hostname: 'x' }),
      message({ args, idMaps: { uid: [], gid: [] } }),
      message({ args, namespaces: { user: 'new', pid: '../ns' } }),
      message({ args, namespaces: { user: 'new' }, idMaps: { uid: [{ containerId: 1, hostId: 1, size: 1 }], gid: [] } }),
      message({ args, stdio: ['pipe'] }),
      message({ args, rlimits: { nofile: { soft: 2, hard: 1 } } }),
      message({ args, namespaces: { mount: 'new' }, mounts: [{ type: 'tmpfs', target: '/a/../b' }] }),
      message({ args: ['true\0'] }),
      message({ args: [''] }),
      message({ args, env: { 'A=B': 'c' } }),
      message({ args, env: { A: 'lone \udc00 half' } }),
      message({ args, seccomp: new Uint8Array(7) }),
    ]).toMatchInlineSnapshot(`
      [
        "expected "namespaces.mount" to be 'new', since mounts is given, received undefined",
        "expected "namespaces.mount" to be 'new', since readOnlyRoot is given, received undefined",
        "expected "namespaces.uts" to be 'new', since a host name is given, received undefined",
        "expected "namespaces.user" to be 'new', since idMaps is given, received undefined",
        "expected "namespaces.pid" to be 'new', 'host', a pid, an absolute path, an Fd or a process, received "../ns" (string)",
        "expected "idMaps.uid" to be a map that contains id 0, with which the process starts inside, received an array of 1",
        "expected "stdio" to be stdin, stdout and stderr, received an array of 1",
        "expected "rlimits.nofile.soft" to be at most rlimits.nofile.hard (1), received 2 (number)",
        "expected "mounts[0].target" to be a path without "..", received "/a/../b" (string)",
        "expected "args[0]" to be text without NUL characters, received "true\\u0000" (string)",
        "expected "args[0]" to be a program, received "" (string)",
        "expected "env" to be names without "=", received "A=B" (string)",
        "expected "env.A" to be text without half characters (lone surrogates), received "lone \\udc00 half" (string)",
        "expected "seccomp" to be the bytes of a filter program, a multiple of 8, received an object",
      ]
    `);
  });

  it('is not fooled by what Object.prototype has', () => {
    Object.defineProperty(Object.prototype, 'ctrTestKey', { value: 1, enumerable: true, configurable: true, writable: true });
    try {
      expect(message({ args: ['true'] })).toBe('nothing was thrown');
    } finally {
      delete (Object.prototype as Record<string, unknown>)['ctrTestKey'];
    }
  });

  it.each([undefined, null, 5, 'x', [], () => {}])('refuses %s as options', (o) => {
    expect(message(o as never)).toContain('expected "options" to be an object');
  });
});

describe('checkEnterOptions', () => {
  it('knows its own options only', () => {
    const thrown = (o: object): string => {
      try {
        checkEnterOptions(o as never);
      } catch (e) {
        return (e as Error).message;
      }
      return 'nothing was thrown';
    };
    expect([
      thrown({ args: ['true'], namespaces: ['net'] }),
      thrown({ args: ['true'], namespaces: { pid: 'new' } }),
      thrown({ args: ['true'], hostname: 'x' }),
      thrown({ args: [] }),
      thrown({ args: ['true'], namespaces: ['pid', 'mount'] }),
    ]).toMatchInlineSnapshot(`
      [
        "expected "namespaces[0]" to be one of user, mount, pid, network, ipc, uts, cgroup, time, received "net" (string)",
        "expected "namespaces" to be an array, received an object",
        "expected "hostname" to be a known option, received "x" (string)",
        "expected "args" to be a non-empty array: the program and its arguments, received an array of 0",
        "nothing was thrown",
      ]
    `);
  });
});
