// A connection that a pull leaves behind: who takes it, and who must not.
import type { Socket } from 'node:net';
import { makeTempDir } from '@ctr/internal/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ImageStore, type PullOptions } from '../src/index.js';
import { FakeRegistry, putImage, reply } from './support/fake-registry.js';

// One try: a second one would hide that the first had failed.
const options: PullOptions = { auth: false, policy: 'always', retry: { attempts: 1 } };

describe('the connection of a pull', () => {
  let registry: FakeRegistry;
  let store: ImageStore;
  let name: string;
  let sockets: Set<Socket>;

  beforeEach(async () => {
    // Its end by time would come between two pulls on a machine that is slow enough.
    const real = globalThis.setTimeout;
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((f: () => void, ms: number, ...more: []) =>
      real(f, ms === 4000 ? 600_000 : ms, ...more)) as typeof setTimeout);
    registry = await FakeRegistry.start();
    await putImage(registry, 'app');
    store = await ImageStore.open({ root: makeTempDir('store') });
    name = `${registry.host}/app`;
    sockets = new Set();
    registry.handler = (req) => {
      sockets.add(req.socket);
      return false;
    };
    await store.pull(name, options);
    expect(sockets.size).toBe(1);
    registry.requests.length = 0;
  });

  afterEach(() => {
    vi.restoreAllMocks();
  });

  const asked = (): string[] => registry.requests.map((r) => `${r.method} ${r.path}`);

  it('serves the next one, which is one request then', async () => {
    await store.pull(name, options);
    await store.pull(name, options);
    expect(asked()).toEqual(Array(2).fill('HEAD /v2/app/manifests/latest'));
    expect(sockets.size).toBe(1);
  });

  it('is not shared by two at once, nor by other rules', async () => {
    await putImage(registry, 'other');
    // Neither is answered before the other has asked: on a slow machine one might have ended by then.
    const seen = new Set<string>();
    let bothAsk = (): void => {};
    const underWay = new Promise<void>((resolve) => {
      bothAsk = resolve;
    });
    registry.handler = async ({ socket, url = '' }) => {
      sockets.add(socket);
      seen.add(url.split('/')[2] ?? '');
      if (seen.has('app') && seen.has('other')) bothAsk();
      if (url !== '/v2/') await underWay;
      return false;
    };
    await Promise.all([store.pull(name, options), store.pull(`${registry.host}/other`, options)]);
    expect(sockets.size).toBe(2);
    sockets.clear();
    await store.pull(name, { ...options, trustedOrigins: ['http://127.0.0.1:1'] });
    expect([...sockets]).toHaveLength(1);
    expect(asked().filter((a) => a === 'GET /v2/')).toHaveLength(2);
  });

  it('may have been given up by the registry meanwhile', async () => {
    // With the request already on its way: no answer, only the end.
    let refused = 0;
    const [first] = sockets;
    registry.handler = (req) => {
      if (req.socket !== first) return false;
      refused++;
      req.socket.destroy();
      return true;
    };
    await store.pull(name, options);
    expect(refused).toBe(1);
    expect(asked().filter((a) => a === 'HEAD /v2/app/manifests/latest')).toHaveLength(2);
  });

  it('is not kept by a pull that failed', async () => {
    registry.handler = (req, res) => {
      sockets.add(req.socket);
      return reply(res, 403);
    };
    await expect(store.pull(name, options)).rejects.toMatchObject({ code: 'CTR_IMAGE_AUTH' });
    const failed = sockets.size;
    registry.handler = (req) => {
      sockets.add(req.socket);
      return false;
    };
    await store.pull(name, options);
    expect(sockets.size).toBe(failed + 1);
    expect(asked().filter((a) => a === 'GET /v2/')).toHaveLength(1);
  });
});
