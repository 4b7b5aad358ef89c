// A disk that fails, and kill -9, at each change that pulling, unpacking and running an image makes in the store: no half of anything is
// ever seen, and the next pull succeeds.
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ImageStore } from '@ctr/image';
import { makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { busyboxTar } from '../fixtures/busybox-root.js';
import { startChild } from '../fixtures/child.js';
import { must } from '../fixtures/command.js';
import { busyboxLayout } from '../fixtures/oci-layout.js';
import { type Registry, startRegistry } from '../fixtures/registry.js';
import { base, patience, rounds, SOON } from './fixtures/hostile.js';

const hub = need('registry', 'skopeo');
const ERRNOS = Object.entries({ EIO: 5, ENOSPC: 28, EDQUOT: 122 });
const SAID = 'the default command\n';

let registry: Registry;
let faulty = '';

interface Place {
  readonly root: string;
  readonly run: string;
}

const newPlace = (): Place => ({ root: path.join(makeTempDir('store'), 'store'), run: makeTempDir('run') });

interface Outcome {
  readonly signal: NodeJS.Signals | null;
  readonly said?: string;
  readonly name?: string;
  readonly all?: string;
}

async function pull({ root, run }: Place, faults: Record<string, string>): Promise<Outcome> {
  const child = startChild('../hostile/children/pulling.mjs', [`${registry.address}/good:latest`], {
    env: { CTR_ROOT: root, CTR_RUN: run, LD_PRELOAD: faulty, FAULT_DIR: root, ...faults },
  });
  let text = '';
  child.node.stdout.on('data', (c) => {
    text += c;
  });
  const { signal } = await child.gone;
  if (text === '' && signal === null) throw new Error(child.errors());
  return { signal, ...(text === '' ? {} : (JSON.parse(text) as object)) };
}

/** Every name in the store with its size, but for the folders of sessions. */
function namesOf(root: string, below = ''): string[] {
  return readdirSync(path.join(root, below)).flatMap((name) => {
    const at = path.join(below, name);
    if (at === 'containers') return [];
    const s = lstatSync(path.join(root, at));
    // An index and a layer's note have times in them.
    return s.isDirectory() ? [`${at}/`, ...namesOf(root, at)] : [/\.json$/.test(at) ? at : `${at} ${s.size}`];
  });
}

/** Nothing half-made is seen; the next pull makes it whole, and then it is as if nothing had ever failed. */
async function expectSound(place: Place, whole: readonly string[]): Promise<void> {
  const store = await ImageStore.open({ root: place.root });
  expect(await store.verify()).toMatchObject({ damaged: [], incomplete: [] });
  expect((await pull(place, {})).said).toBe(SAID);
  expect(await store.verify()).toMatchObject({ damaged: [], incomplete: [] });
  // The monitor outlives its Node by the moment that it takes to clean up.
  await expect.poll(() => namesOf(place.root).sort(), { timeout: SOON }).toEqual(whole);
}

/** So many of `total`, from the first to the last. */
const spread = (total: number, most: number): number[] => [
  ...new Set(
    Array.from({ length: Math.min(total, most) }, (_, i) => 1 + Math.round((i * (total - 1)) / Math.max(1, Math.min(total, most) - 1))),
  ),
];

describe.skipIf(!base.ok || !hub.ok)(hub.title(base.title('the store')), () => {
  let total = 0;
  let whole: string[] = [];

  beforeAll(async () => {
    registry = await startRegistry();
    await registry.push(busyboxLayout(await busyboxTar()), 'latest', 'good');
    faulty = path.join(makeTempDir('faulty'), 'faulty-disk.so');
    const source = path.join(import.meta.dirname, 'fixtures/faulty-disk.c');
    await must('cc', [
      '-std=gnu17',
      '-O1',
      '-shared',
      '-fPIC',
      '-D_GNU_SOURCE',
      '-Wall',
      '-Wextra',
      '-Werror',
      '-o',
      faulty,
      source,
      '-ldl',
    ]);
    const place = newPlace();
    const count = path.join(place.run, '..', 'count');
    expect((await pull(place, { FAULT_COUNT: count })).said).toBe(SAID);
    total = Number(readFileSync(count, 'utf8'));
    // A registry's config and layers, their folders, files and links, an index: or nothing of it was seen.
    expect(total).toBeGreaterThan(20);
    const leased = () => namesOf(place.root).filter((n) => n.startsWith('leases/') && n !== 'leases/');
    await vi.waitFor(() => expect(leased()).toEqual([]), { timeout: SOON });
    whole = namesOf(place.root).sort();
  }, 120_000);

  afterAll(async () => {
    await registry?.stop();
  });

  it(
    'F-14 on a disk that fails from some change on: an error that says how, nothing half-made, and the next pull succeeds',
    async () => {
      for (const [i, at] of spread(total, rounds(12)).entries()) {
        const [name, errno] = ERRNOS[i % ERRNOS.length] as [string, number];
        const place = newPlace();
        const outcome = await pull(place, { FAULT_AT: String(at), FAULT_ERRNO: String(errno) });
        // What was only for a later pull's comfort may fail in silence: then the container ran.
        if (outcome.said === undefined)
          expect(outcome, `at change ${at} of ${total}`).toMatchObject({ all: expect.stringContaining(name) });
        else expect(outcome.said).toBe(SAID);
        if (existsSync(place.root)) {
          const open = ['tmp', 'lock'].flatMap((d) => (existsSync(path.join(place.root, d)) ? readdirSync(path.join(place.root, d)) : []));
          expect(open, `left at change ${at}`).toEqual([]);
        }
        await expectSound(place, whole);
      }
    },
    patience(300_000),
  );

  it(
    'F-23 with Node killed at some change: nothing half-made is seen, and the next pull succeeds',
    async () => {
      for (const at of spread(total, rounds(12))) {
        const place = newPlace();
        const outcome = await pull(place, { FAULT_AT: String(at), FAULT_ERRNO: '0' });
        // What is renewed by the clock makes some changes more or less.
        if (outcome.signal === null && at > total - 10) expect(outcome.said).toBe(SAID);
        else expect(outcome.signal, `at change ${at} of ${total}`).toBe('SIGKILL');
        await expectSound(place, whole);
      }
    },
    patience(300_000),
  );
});
