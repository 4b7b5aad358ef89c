// The promise: what goes wrong is said in one typed error that names the cure, bad input before the host is touched; nothing half-made remains.
import './fixtures/store.js';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ImageStore } from '@ctr/image';
import { leakCheck, makeTempDir, need } from '@ctr/internal/testing';
import { type RunOptions, runContainer } from '@ctr/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { busyboxRoot, busyboxTar } from './fixtures/busybox-root.js';
import { startChild } from './fixtures/child.js';
import { busyboxLayout, sha256, thisArchitecture } from './fixtures/oci-layout.js';
import { freeAddress, type Registry, startRegistry } from './fixtures/registry.js';

const n = need('linux', 'userns', 'overlay-in-userns', 'busybox', 'static-cc');
const hub = need('registry', 'skopeo', 'busybox', 'static-cc');

let rootfs = '';
let tar = '';

beforeAll(async () => {
  if (!n.ok) return;
  rootfs = await busyboxRoot();
  tar = await busyboxTar();
  // The monitor and what else is made once stay for the life of Node.
  await runContainer({ rootfs, command: ['/bin/true'] }).result();
});

/** The error of a run that must fail. */
async function failure(
  options: unknown,
): Promise<Error & { code?: string; hint?: string; path?: string; expected?: string; received?: string; stage?: string }> {
  try {
    await runContainer(options as RunOptions).result();
  } catch (error) {
    return error as Error;
  }
  throw new Error('it did not fail');
}

/** Options that a type checker would not let pass: where, and what comes there. */
const BAD: [title: string, path: string, options: Record<string, unknown>][] = [
  ['an unknown option', 'colour', { colour: 'red' }],
  ['a misspelled option', 'hostnmae', { hostnmae: 'web' }],
  ['an option of Docker by its own name', 'workdir', { workdir: '/' }],
  ['a misspelled limit', 'resources.memroy', { resources: { memroy: '1g' } }],
  ['a command that is one text', 'command', { command: 'ls -l' }],
  ['a NUL in an argument', 'command[1]', { command: ['echo', 'a\0b'] }],
  ['a NUL in a path', 'cwd', { cwd: '/a\0b' }],
  ['an argument that is too long', 'command[1]', { command: ['echo', 'x'.repeat(200_000)] }],
  ['a number as environment', 'env.A', { env: { A: 1 } }],
  ['a name with = in the environment', 'env["A=B"]', { env: { 'A=B': '1' } }],
  ['a relative working directory', 'cwd', { cwd: 'here' }],
  ['a host name that is too long', 'hostname', { hostname: 'a'.repeat(65) }],
  ['a negative limit', 'resources.memory', { resources: { memory: -1 } }],
  ['a limit in words', 'resources.memory', { resources: { memory: 'lots' } }],
  ['no cores', 'resources.cpus', { resources: { cpus: 0 } }],
  ['half a process', 'resources.pids', { resources: { pids: 1.5 } }],
  ['a user beyond the last', 'user.uid', { user: { uid: 2 ** 32 - 1 } }],
  ['a mount of an unknown kind', 'mounts[0].type', { mounts: [{ type: 'volume', target: '/x' }] }],
  ['a mount of a relative path', 'mounts[0].source', { mounts: [{ type: 'bind', source: 'x', target: '/x' }] }],
  ['a mount over /proc', 'mounts[0].target', { mounts: [{ type: 'tmpfs', target: '/proc/self' }] }],
  ['an endless timeout', 'timeout', { timeout: Number.POSITIVE_INFINITY }],
  ['a signal that is none', 'stopSignal', { stopSignal: 'SIGNOTHING' }],
  ['something else as an AbortSignal', 'signal', { signal: {} }],
  ['an unknown network', 'network', { network: 'bridge' }],
  ['an unknown capability', 'capabilities.add[0]', { capabilities: { add: ['FLY'] } }],
  ['neither image nor folder', 'image', { rootfs: undefined }],
  ['both image and folder', 'rootfs', { image: 'debian:12' }],
];

describe('bad input', () => {
  it.each(BAD)('%s is refused at %s before the host is touched', async (_title, where, options) => {
    const before = readdirSync(process.env['CTR_ROOT'] ?? '');
    const error = await failure({ rootfs: '/', command: ['/bin/true'], ...options });
    expect([error.name, error.code, error.path]).toEqual(['InvalidArgumentError', 'CTR_INVALID_ARGUMENT', where]);
    expect(error.message).toContain(`expected ${JSON.stringify(where)} to be ${error.expected}, received ${error.received}`);
    expect(readdirSync(process.env['CTR_ROOT'] ?? '')).toEqual(before);
  });
});

describe.skipIf(!n.ok)(n.title('a command that cannot start'), () => {
  const cases: [string, string[], string][] = [
    ['is missing', ['/bin/nothing'], 'ENOENT'],
    ['is missing in PATH', ['nothing'], 'ENOENT'],
    ['is a folder', ['/etc'], 'EACCES'],
    ['is no program', ['/etc/passwd'], 'EACCES'],
    ['is not for this machine', ['/strange'], 'ENOEXEC'],
    ['has an interpreter that is missing', ['/lost'], 'ENOENT'],
  ];

  beforeAll(() => {
    writeFileSync(path.join(rootfs, 'strange'), '\u007fELF-not');
    writeFileSync(path.join(rootfs, 'lost'), '#!/no/such/interpreter\n');
    for (const f of ['strange', 'lost']) chmodSync(path.join(rootfs, f), 0o755);
  });

  it.each(cases)('because it %s: %s', async (_title, command, errno) => {
    const check = leakCheck();
    const error = await failure({ rootfs, command });
    expect(error.name).toBe('StartError');
    expect((error.cause as { code?: string }).code).toBe(errno);
    expect(error.message).toContain(command[0]);
    expect(error.message).toContain(errno);
    expect(error.hint, error.message).toBeTruthy();
    await check.assertClean();
  });
});

describe.skipIf(!n.ok)(n.title('a start that cannot be'), () => {
  it('has a folder that is missing', async () => {
    const error = await failure({ rootfs: '/no/such/root', command: ['/bin/true'] });
    expect(error.message).toMatch(/\/no\/such\/root/);
    expect(error.message).toMatch(/ENOENT/);
  });

  it('has a bind mount whose source is missing', async () => {
    const error = await failure({ rootfs, command: ['/bin/true'], mounts: [{ type: 'bind', source: '/no/such/source', target: '/data' }] });
    expect(error.message).toMatch(/\/no\/such\/source/);
    expect(error.message).toMatch(/ENOENT/);
    expect(error.hint, error.message).toBeTruthy();
  });
});

describe.skipIf(!n.ok || !hub.ok)(hub.title(n.title('an image')), () => {
  let registry: Registry;

  beforeAll(async () => {
    registry = await startRegistry();
    await registry.push(busyboxLayout(tar), 'latest', 'good');
    await registry.push(busyboxLayout(tar, { architecture: thisArchitecture === 'amd64' ? 'arm64' : 'amd64' }), 'latest', 'foreign');
    await registry.push(busyboxLayout(tar, { diffIds: [sha256('something else')] }), 'latest', 'liar');
  }, 120_000);

  afterAll(async () => {
    await registry?.stop();
  });

  /** The failure with a new store, and that the store holds nothing half-made and nothing else is left. */
  const pull = async (image: string, options: Partial<RunOptions> = {}) => {
    const root = makeTempDir('store');
    const store = await ImageStore.open({ root });
    const check = leakCheck({ directories: [root], ignore: /\/(blobs|layers|blobs\/sha256|layers\/sha256|blobs\/sha256\/[0-9a-f]{64})$/ });
    const error = await failure({ image, command: ['/bin/true'], store, ...options });
    await check.assertClean();
    return error;
  };

  /** Does `work` while the registry's large blobs are changed on the way. */
  const spoiled = async <T>(change: (body: Buffer) => Buffer, work: () => Promise<T>): Promise<T> => {
    registry.spoil = (req, body) => (req.url?.includes('/blobs/') && body.length > 100_000 ? change(body) : undefined);
    try {
      return await work();
    } finally {
      registry.spoil = undefined;
    }
  };
  const flipped = (body: Buffer): Buffer => Buffer.from(body).fill((body[1000] ?? 0) ^ 1, 1000, 1001);
  const cut = (body: Buffer): Buffer => body.subarray(0, 50_000);

  it('that is there runs', async () => {
    const r = await runContainer(`${registry.address}/good`).result();
    expect([r.exitCode, r.stdout]).toEqual([0, 'the default command\n']);
  });

  it('that is not in the registry', async () => {
    const error = await pull(`${registry.address}/nothing:latest`);
    expect([error.name, error.code]).toEqual(['ImageError', 'CTR_IMAGE_NOT_FOUND']);
    expect(error.message).toContain(`${registry.address}/nothing`);
  });

  it('that may not be fetched and is not here', async () => {
    const error = await pull(`${registry.address}/good:latest`, { pull: 'never' });
    expect([error.name, error.code]).toEqual(['ImageError', 'CTR_IMAGE_NOT_FOUND']);
    expect(error.hint).toBeTruthy();
  });

  it('of a registry that nobody answers for', async () => {
    const address = await freeAddress();
    const error = await pull(`${address}/x:latest`);
    expect([error.name, error.code]).toEqual(['ImageError', 'CTR_IMAGE_REGISTRY']);
    expect(error.message).toContain(address);
    expect(error.hint).toBeTruthy();
  });

  it('for another processor', async () => {
    const error = await pull(`${registry.address}/foreign:latest`);
    expect([error.name, error.code]).toEqual(['ImageError', 'CTR_IMAGE_PLATFORM']);
    expect(error.message).toMatch(/arm64|amd64/);
    expect(error.hint).toBeTruthy();
  });

  it('whose layer was changed on the way', async () => {
    const error = await spoiled(flipped, () => pull(`${registry.address}/good:latest`));
    expect([error.name, error.code]).toEqual(['ImageError', 'CTR_IMAGE_DIGEST_MISMATCH']);
    expect(error.message).toMatch(/sha256:[0-9a-f]{64}/);
  });

  it('whose layer ends early', async () => {
    const error = await spoiled(cut, () => pull(`${registry.address}/good:latest`));
    expect(error.name).toBe('ImageError');
    expect(['CTR_IMAGE_DIGEST_MISMATCH', 'CTR_IMAGE_INVALID', 'CTR_IMAGE_REGISTRY']).toContain(error.code);
  });

  it('whose config lies about the unpacked layer', async () => {
    const error = await pull(`${registry.address}/liar:latest`);
    expect([error.name, error.code]).toEqual(['ImageError', 'CTR_IMAGE_DIGEST_MISMATCH']);
  });

  it('pinned to a digest that the registry does not keep to', async () => {
    const error = await pull(`${registry.address}/good@${sha256('something else')}`);
    expect(error.name).toBe('ImageError');
  });

  it('after a failure can be pulled again', async () => {
    const store = await ImageStore.open({ root: makeTempDir('store') });
    const image = `${registry.address}/good:latest`;
    await spoiled(cut, () => failure({ image, store }));
    expect((await runContainer({ image, store }).result()).stdout).toBe('the default command\n');
  });

  it('that does not fit on the disk', async () => {
    const small = makeTempDir('small');
    const listing = path.join(makeTempDir('listing'), 'left');
    mkdirSync(path.join(small, 'store'));
    // In a mount namespace of its own, so that this machine's mounts stay as they are.
    const script = 'mount -t tmpfs -o size=600k none "$0" && mkdir "$0/store" && "$@"; find "$0" -type f -size +0 > "$LISTING"';
    const child = startChild('pull.mjs', [`${registry.address}/good:latest`], {
      prefix: ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', script, small],
      env: { CTR_ROOT: path.join(small, 'store'), LISTING: listing },
    });
    let text = '';
    child.node.stdout.on('data', (c) => {
      text += c;
    });
    await child.gone;
    const error = JSON.parse(text || JSON.stringify({ errors: child.errors() })) as { message?: string; hint?: string };
    expect(error.message).toMatch(/ENOSPC/);
    expect(error.hint).toBeTruthy();
    const left = readFileSync(listing, 'utf8').trim().split('\n').filter(Boolean);
    expect(left.filter((f) => !/(oci-layout|index\.json|blobs\/sha256\/[0-9a-f]{64})$/.test(f))).toEqual([]);
  });
});
