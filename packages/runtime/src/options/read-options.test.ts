// Options are refused with path, expected and received before anything else happens, and read once.
import { describe, expect, it } from 'vitest';
import { isKnown, knowRequest, readExecOptions, readRunOptions } from './read-options.js';

/** The message for options that a type checker would not let pass. */
function message(options: unknown): string {
  try {
    readRunOptions(options as never);
  } catch (error) {
    return (error as Error).message;
  }
  return 'accepted';
}
const withImage = (options: object): string => message({ image: 'debian:12', ...options });

describe('unknown and misspelled options', () => {
  it('names the right spelling', () => {
    expect(withImage({ readonly: true })).toMatchInlineSnapshot(
      `"expected "readonly" to be a known option (did you mean "readOnly"?), received true (boolean)"`,
    );
    expect(withImage({ hostnmae: 'web' })).toMatchInlineSnapshot(
      `"expected "hostnmae" to be a known option (did you mean "hostname"?), received "web" (string)"`,
    );
    expect(withImage({ 'read-only': true })).toMatchInlineSnapshot(
      `"expected "read-only" to be a known option (did you mean "readOnly"?), received true (boolean)"`,
    );
    expect(withImage({ resources: { memroy: '1g' } })).toMatchInlineSnapshot(
      `"expected "resources.memroy" to be a known option (did you mean "memory"?), received "1g" (string)"`,
    );
    expect(withImage({ mounts: [{ type: 'bind', src: '/a', target: '/a' }] })).toMatchInlineSnapshot(
      `"expected "mounts[0].src" to be a known option (did you mean "source"?), received "/a" (string)"`,
    );
  });

  it('translates the words of Docker', () => {
    expect(withImage({ workdir: '/' })).toMatchInlineSnapshot(
      `"expected "workdir" to be a known option (did you mean "cwd"?), received "/" (string)"`,
    );
    expect(withImage({ memory: '512m' })).toMatchInlineSnapshot(`
      "expected "memory" to be a known option, received "512m" (string)
        hint: limits go into "resources", such as resources: { memory: "512m" }"
    `);
    expect(withImage({ restart: 'always' })).toMatchInlineSnapshot(`
      "expected "restart" to be a known option, received "always" (string)
        hint: restart policies are not supported yet"
    `);
  });

  it('has no advice for what resembles nothing', () =>
    expect(withImage({ xyzzy: 1 })).toMatchInlineSnapshot(`"expected "xyzzy" to be a known option, received 1 (number)"`));
});

describe('wrong values', () => {
  it('says path, expected and received', () => {
    expect(message(undefined)).toMatchInlineSnapshot(`"expected "options" to be an object of options, received undefined"`);
    expect(message({})).toMatchInlineSnapshot(`"expected "image" to be given, or "rootfs", received undefined"`);
    expect(withImage({ command: 'ls -l' })).toMatchInlineSnapshot(
      `"expected "command" to be an array of texts, received "ls -l" (string)"`,
    );
    expect(withImage({ command: ['a\0b'] })).toMatchInlineSnapshot(
      `"expected "command[0]" to be text, without a NUL character, received "a\\u0000b" (string)"`,
    );
    expect(withImage({ command: ['\ud800'] })).toMatchInlineSnapshot(
      `"expected "command[0]" to be text, in well-formed Unicode, received "\\ud800" (string)"`,
    );
    expect(withImage({ command: ['x'.repeat(200_000)] })).toMatchInlineSnapshot(
      `"expected "command[0]" to be text, of at most 131071 bytes, received "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" (string of 200000 characters)"`,
    );
    expect(withImage({ env: { A: 1 } })).toMatchInlineSnapshot(`"expected "env.A" to be text, received 1 (number)"`);
    expect(withImage({ env: { 'A=B': 'x' } })).toMatchInlineSnapshot(
      `"expected "env[\\"A=B\\"]" to be the name of an environment variable, received "A=B" (string)"`,
    );
    expect(withImage({ resources: { memory: 'lots' } })).toMatchInlineSnapshot(
      `"expected "resources.memory" to be bytes or a size like "512MiB", at least 1048576, received "lots" (string)"`,
    );
    expect(withImage({ resources: { memory: -1 } })).toMatchInlineSnapshot(
      `"expected "resources.memory" to be bytes or a size like "512MiB", at least 1048576, received -1 (number)"`,
    );
    expect(withImage({ resources: { cpus: 0 } })).toMatchInlineSnapshot(
      `"expected "resources.cpus" to be a number of cores from 0.01 to 8192, received 0 (number)"`,
    );
    expect(withImage({ resources: { pids: 1.5 } })).toMatchInlineSnapshot(
      `"expected "resources.pids" to be a whole number from 1 to 4194304, or "unlimited", received 1.5 (number)"`,
    );
    expect(withImage({ timeout: Number.POSITIVE_INFINITY })).toMatchInlineSnapshot(
      `"expected "timeout" to be milliseconds or a duration like "30s", from 1 ms to 24 days, received Infinity (number)"`,
    );
    expect(withImage({ network: 'hots' })).toMatchInlineSnapshot(
      `"expected "network" to be "none" or "host" (did you mean "host"?), received "hots" (string)"`,
    );
    expect(withImage({ hostname: 'a'.repeat(65) })).toMatchInlineSnapshot(
      `"expected "hostname" to be a host name of letters, digits, dots and dashes, of at most 64 bytes, received "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…" (string of 65 characters)"`,
    );
    expect(withImage({ name: '../x' })).toMatchInlineSnapshot(
      `"expected "name" to be a name of letters, digits and _ + . -, not beginning with a dot, received "../x" (string)"`,
    );
    expect(withImage({ user: { uid: 2 ** 32 - 1 } })).toMatchInlineSnapshot(
      `"expected "user.uid" to be an id from 0 to 4294967294, received 4294967295 (number)"`,
    );
    expect(withImage({ capabilities: { add: ['NET_ADMINN'] } })).toMatchInlineSnapshot(
      `"expected "capabilities.add[0]" to be a capability such as "NET_ADMIN", or "ALL" (did you mean "CAP_NET_ADMIN"?), received "NET_ADMINN" (string)"`,
    );
    expect(withImage({ ulimits: { nofiles: 5 } })).toMatchInlineSnapshot(
      `"expected "ulimits.nofiles" to be a process limit such as "nofile" (did you mean "nofile"?), received "nofiles" (string)"`,
    );
    expect(withImage({ ulimits: { nofile: { soft: 10, hard: 5 } } })).toMatchInlineSnapshot(
      `"expected "ulimits.nofile.soft" to be at most the hard limit, received 10 (number)"`,
    );
    expect(withImage({ stdin: 'some text' })).toMatchInlineSnapshot(
      `"expected "stdin" to be "pipe", "ignore", "inherit", a readable stream or an Fd (text goes into "input"), received "some text" (string)"`,
    );
    expect(withImage({ signal: {} })).toMatchInlineSnapshot(`"expected "signal" to be an AbortSignal, received an object"`);
  });

  it('refuses mounts over what the runtime itself keeps', () => {
    expect(withImage({ mounts: [{ type: 'bind', source: 'data', target: '/data' }] })).toMatchInlineSnapshot(
      `"expected "mounts[0].source" to be an absolute path on the host, received "data" (string)"`,
    );
    expect(withImage({ mounts: [{ type: 'bind', source: '/data', target: '/a/../proc' }] })).toMatchInlineSnapshot(
      `"expected "mounts[0].target" to be an absolute path inside the container, without "..", received "/a/../proc" (string)"`,
    );
    expect(withImage({ mounts: [{ type: 'bind', source: '/data', target: '/proc/self' }] })).toMatchInlineSnapshot(
      `"expected "mounts[0].target" to be an absolute path inside the container, outside of /, /proc, /sys and the devices, received "/proc/self" (string)"`,
    );
    expect(withImage({ mounts: [{ type: 'volume', source: 'x', target: '/x' }] })).toMatchInlineSnapshot(
      `"expected "mounts[0].type" to be "bind" or "tmpfs", received "volume" (string)"`,
    );
    expect(withImage({ tmpfs: { '/tmp': '1m' }, mounts: [{ type: 'tmpfs', target: '/tmp/' }] })).toMatchInlineSnapshot(
      `"expected "tmpfs[\\"/tmp\\"]" to be a target that nothing else is mounted on, received "/tmp" (string)"`,
    );
  });

  it('refuses what does not go together', () => {
    expect(withImage({ rootfs: '/' })).toMatchInlineSnapshot(
      `"expected "rootfs" to be left out when "image" is given, received "/" (string)"`,
    );
    expect(message({ rootfs: 'host' })).toMatchInlineSnapshot(
      `"expected "command" to be given when there is no image to know it, received undefined"`,
    );
    expect(withImage({ capabilities: { add: ['KILL'], drop: ['cap_kill'] } })).toMatchInlineSnapshot(
      `"expected "capabilities.add[0]" to be a capability that is not dropped too, received "CAP_KILL" (string)"`,
    );
    expect(withImage({ devices: ['/dev/zero:/data'] } as never)).toMatchInlineSnapshot(
      `"expected "devices[0].target" to be an absolute path below /dev inside the container, received "/data" (string)"`,
    );
    expect(withImage({ devices: ['/dev/zero:/dev/null'] } as never)).toMatchInlineSnapshot(
      `"expected "devices[0].target" to be an absolute path inside the container, outside of /, /proc, /sys and the devices, received "/dev/null" (string)"`,
    );
    expect(withImage({ devices: ['/dev/zero::rwx'] } as never)).toMatchInlineSnapshot(
      `"expected "devices[0].target" to be an absolute path inside the container, received "" (string)"`,
    );
    expect(withImage({ devices: ['a:b:c:d'] } as never)).toMatchInlineSnapshot(
      `"expected "devices[0]" to be a device such as "/dev/fuse", or { source, target, access }, received "a:b:c:d" (string)"`,
    );
    expect(withImage({ groupAdd: [1] } as never)).toMatchInlineSnapshot(`
      "expected "groupAdd" to be a known option, received an array of 1
        hint: groups go into "user", by their numbers: user: { uid: 0, groups: [44] }"
    `);
    expect(withImage({ pid: 'host' } as never)).toMatchInlineSnapshot(`
      "expected "pid" to be a known option, received "host" (string)
        hint: every container has processes of its own: those of the machine could be seen and signalled by it"
    `);
    expect(withImage({ namespaces: { pid: 'host' } })).toMatchInlineSnapshot(
      `"expected "namespaces.pid" to be "new": every container has its own, received "host" (string)"`,
    );
    expect(withImage({ resources: { memory: '10m', memoryReservation: '20m' } })).toMatchInlineSnapshot(
      `"expected "resources.memoryReservation" to be at most "memory", received 20971520 (number)"`,
    );
  });
});

describe('hostile options (A-01, A-02, A-03)', () => {
  const VALUES: unknown[] = [
    null,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    -1,
    1.5,
    2 ** 53,
    '\0',
    'a\0b',
    'x'.repeat(10 * 2 ** 20),
    [[]],
    Symbol('s'),
    1n,
    new Map(),
    new Date(),
    new Proxy(
      {},
      {
        get: () => {
          throw new Error('trap');
        },
        has: () => {
          throw new Error('trap');
        },
        ownKeys: () => {
          throw new Error('trap');
        },
        getPrototypeOf: () => {
          throw new Error('trap');
        },
      },
    ),
  ]; // prettier-ignore
  const cyclic: Record<string, unknown> = {};
  cyclic['self'] = cyclic;
  const KEYS = [
    'image',
    'rootfs',
    'command',
    'entrypoint',
    'name',
    'hostname',
    'domainname',
    'labels',
    'stopSignal',
    'stopTimeout',
    'execSlots',
    'pull',
    'platform',
    'auth',
    'insecure',
    'trustedOrigins',
    'mirrors',
    'proxy',
    'tls',
    'retry',
    'idleTimeoutMs',
    'limits',
    'onProgress',
    'store',
    'mounts',
    'tmpfs',
    'readOnly',
    'writable',
    'maskedPaths',
    'readonlyPaths',
    'resources',
    'ulimits',
    'oomScoreAdj',
    'preset',
    'network',
    'userns',
    'namespaces',
    'capabilities',
    'noNewPrivileges',
    'seccomp',
    'spec',
    'env',
    'cwd',
    'user',
    'stdin',
    'stdout',
    'stderr',
    'input',
    'maxBuffer',
    'encoding',
    'signal',
    'timeout',
    'killSignal',
  ]; // prettier-ignore
  /** Values of the table above that the option really takes. */
  const ACCEPTED = new Set(['entrypoint null', 'oomScoreAdj -1', 'timeout 1.5', 'stopTimeout 1.5', 'input \0', 'input a\0b']);

  it.each(KEYS)('%s takes no value of a wrong kind', (key) => {
    for (const value of [...VALUES, cyclic]) {
      const shown = typeof value === 'symbol' || typeof value === 'object' ? (value === null ? 'null' : 'object') : String(value);
      if (ACCEPTED.has(`${key} ${shown}`) || (key === 'input' && typeof value === 'string')) continue;
      const base = key === 'rootfs' ? { command: ['x'] } : key === 'image' ? {} : { image: 'a' };
      expect(message({ ...base, [key]: value }), `${key}: ${shown}`).toMatch(/^expected /);
    }
  });

  it('reads a getter once', () => {
    let reads = 0;
    const spec = readRunOptions({
      get image() {
        reads += 1;
        return reads === 1 ? 'first' : 'second';
      },
    });
    expect([spec.image, reads]).toEqual(['first', 1]);
  });

  it('keeps its own copy', () => {
    const command = ['echo', 'a'];
    const env = { A: '1' };
    const spec = readRunOptions({ image: 'a', command, env });
    command[0] = 'rm';
    env.A = '2';
    expect([spec.command, spec.env?.get('A')]).toEqual([['echo', 'a'], '1']);
  });

  it('ignores a polluted prototype', () => {
    const prototype = Object.prototype as unknown as Record<string, unknown>;
    prototype['readOnly'] = 'broken';
    try {
      expect(readRunOptions({ image: 'a' })).toEqual({ image: 'a' });
    } finally {
      delete prototype['readOnly'];
    }
  });

  it('refuses __proto__ from JSON', () =>
    expect(message(JSON.parse('{"image":"a","__proto__":{"readOnly":true}}'))).toMatch(/^expected "__proto__" to be a known option/));
});

describe('what is accepted', () => {
  it('takes both call forms', () => {
    expect(readRunOptions('debian:12', ['ls'], { cwd: '/tmp/' })).toEqual({ image: 'debian:12', command: ['ls'], cwd: '/tmp' });
    expect(readRunOptions('debian:12')).toEqual({ image: 'debian:12' });
    expect(() => readRunOptions('debian:12', [], { image: 'x' })).toThrow('expected "image" to be given once');
  });

  it('turns sizes, durations, signals and capabilities into one form', () => {
    expect(
      readRunOptions({
        image: 'a',
        resources: { memory: '100m', cpus: 0.5, unified: { 'memory.min': '4096' } },
        timeout: '30s',
        stopSignal: 'quit',
        capabilities: { add: ['net_admin'], drop: 'all' },
        ulimits: { nofile: 100, core: { soft: 0, hard: 'unlimited' } },
        tmpfs: { '/tmp': '64m' },
        entrypoint: null,
      }),
    ).toMatchInlineSnapshot(`
      {
        "capabilities": {
          "add": [
            "CAP_NET_ADMIN",
          ],
          "drop": "all",
        },
        "entrypoint": [],
        "image": "a",
        "resources": {
          "cpus": 0.5,
          "memory": 104857600,
          "unified": Map {
            "memory.min" => "4096",
          },
        },
        "stopSignal": "SIGQUIT",
        "timeout": 30000,
        "tmpfs": Map {
          "/tmp" => 67108864,
        },
        "ulimits": Map {
          "nofile" => 100,
          "core" => {
            "hard": "unlimited",
            "soft": 0,
          },
        },
      }
    `);
  });

  it('keeps undefined variables: they take one of the image away', () =>
    expect([...(readRunOptions({ image: 'a', env: { A: undefined, B: '' } }).env ?? [])]).toEqual([
      ['A', undefined],
      ['B', ''],
    ])); // prettier-ignore
});

describe('exec options', () => {
  it('needs a program', () => {
    expect(() => readExecOptions([])).toThrow('expected "command" to be an array of texts with a program first');
    expect(() => readExecOptions([''])).toThrow('expected "command[0]" to be the name of a program');
    expect(() => readExecOptions(['ls'], { image: 'x' } as never)).toThrow('expected "image" to be a known option');
  });
});

describe('a request of exec() that comes again', () => {
  const know = (command: string[], options?: object) => knowRequest(readExecOptions(command, options), options);

  it('is known by its words, not by its objects', () => {
    const known = know(['sh', '-c', 'true'], { stderr: 'ignore', input: 'text', cwd: '/tmp' });
    if (known === undefined) throw new Error('not known');
    const options = { stderr: 'ignore', input: 'text', cwd: '/tmp' } as const;
    expect(isKnown(known, ['sh', '-c', 'true'], options)).toBe(true);
    expect(isKnown(known, ['sh', '-c', 'true'], { cwd: '/tmp', input: 'text', stderr: 'ignore' })).toBe(true);
    expect(isKnown(known, ['sh', '-c', 'false'], options)).toBe(false);
    expect(isKnown(known, ['sh', '-c', 'true', 'x'], options)).toBe(false);
    expect(isKnown(known, ['sh', '-c', 'true'], { ...options, cwd: '/' })).toBe(false);
    expect(isKnown(known, ['sh', '-c', 'true'], { stderr: 'ignore', input: 'text' })).toBe(false);
    expect(isKnown(known, ['sh', '-c', 'true'], { ...options, timeout: 5 })).toBe(false);
    expect(isKnown(known, ['sh', '-c', 'true'])).toBe(false);
    expect(isKnown(known, 'sh' as never, options)).toBe(false);
    expect(isKnown(known, ['sh', '-c', 'true'], null as never)).toBe(false);
  });

  it('is not known where it has live parts, or the schema made something else of it', () => {
    expect(know(['true'], { env: { A: 'b' } })).toBeUndefined();
    expect(know(['true'], { signal: new AbortController().signal })).toBeUndefined();
    expect(know(['true'], { timeout: '5s' })).toBeUndefined();
    let calls = 0;
    const options = {
      get cwd() {
        calls += 1;
        return calls > 1 ? 'relative' : '/';
      },
    };
    expect(know(['true'], options)).toBeUndefined();
  });

  it('is what was checked, whatever the caller changes afterwards', () => {
    const command = ['true'];
    const known = know(command);
    command[0] = '';
    expect(known?.request.command).toEqual(['true']);
    expect(known !== undefined && isKnown(known, command)).toBe(false);
    expect(Object.isFrozen(known?.request.command)).toBe(true);
  });

  it('says where it came from when it cannot be read', () => {
    const known = know(['true'], { cwd: '/' });
    const options = {
      get cwd(): string {
        throw new Error('boom');
      },
    };
    expect(() => known && isKnown(known, ['true'], options)).toThrowErrorMatchingInlineSnapshot(
      `[InvalidArgumentError: expected "options" to be an object that can be read, received undefined]`,
    );
  });
});
