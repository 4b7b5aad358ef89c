// Pulls from the real docker-registry: what skopeo pushed there comes out byte for byte, once, and without a second request.
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Image, ImageStore, packTar, type PullProgress } from '../src/index.js';
import { startRegistry, type TestRegistry } from './support/registry.js';
import { spooled, spoolSink } from './support/spool-sink.js';

const n = need('registry', 'skopeo');

const skopeo = (...args: string[]): string => execFileSync('skopeo', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

describe.skipIf(!n.ok)(n.title('pull from docker-registry'), () => {
  let registry: TestRegistry;
  let made: Image;
  const source = makeTempDir('source');

  beforeAll(async () => {
    registry = await startRegistry();
    const store = await ImageStore.open({ root: source });
    made = await store.create({
      reference: 'localhost/app:1',
      layers: [
        packTar([{ type: 'directory', path: 'bin' }, { type: 'file', path: 'bin/random', content: randomBytes(3_000_000), mode: 0o755 }]),
        packTar([{ type: 'file', path: 'bin/hello', content: 'hello\n' }]),
      ],
      config: { Env: ['PATH=/bin'], Cmd: ['/bin/hello'], WorkingDir: '/', Labels: { a: 'b' } },
    });
    skopeo('copy', '--dest-tls-verify=false', `oci:${source}:localhost/app:1`, `docker://${registry.host}/team/app:1`);
  });

  afterAll(() => registry.stop());

  it('brings config, layers and blobs as they were pushed', async () => {
    const store = await ImageStore.open({ root: makeTempDir('store') });
    const sink = spoolSink();
    const events: PullProgress[] = [];
    const image = await store.pull(`${registry.host}/team/app:1`, { sink, onProgress: (p) => events.push(p) });
    expect(image).toEqual({ ...made, reference: `${registry.host}/team/app:1` });
    const directories = await store.unpack(image, sink);
    expect(directories).toHaveLength(2);
    expect(sink).toMatchObject({ opened: 2, ended: 2, aborted: 0 });
    for (const [i, directory] of directories.entries()) {
      const tar = await spooled(directory);
      expect(`sha256:${createHash('sha256').update(tar).digest('hex')}`).toBe(image.layers[1 - i]?.diffId);
    }
    expect(events[0]).toMatchObject({ type: 'resolve', digest: image.digest });
    expect(events.at(-1)).toEqual({ type: 'done', digest: image.digest, bytes: events[0]?.total, total: events[0]?.total });
    for (const layer of image.layers) expect(readFileSync(path.join(store.root, 'blobs', layer.digest.replace(':', '/')))).toHaveLength(layer.size);
    expect(readdirSync(path.join(store.root, 'tmp'))).toEqual([]);
    expect(readdirSync(path.join(store.root, 'leases'))).toEqual([]);
    expect(readdirSync(path.join(store.root, 'lock'))).toEqual([]);
    expect(statSync(store.root).mode & 0o777).toBe(0o700);
  });
});
