// Snapshots, forks and rollbacks of a writable stack, and what changed in it: judged by mounting the result.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import {
  type Change,
  diffUpper,
  mountLayer,
  mountOverlay,
  openLayerWriter,
  openWorkspace,
  packUpper,
  removeTree,
  type Workspace,
} from '../src/index.js';
import { layersAsFiles, mountsHere } from './needs.js';
import { archive, dir, file } from './tar-builder.js';
import { differences, treeFacts } from './tree-facts.js';

/** A lower layer with one of everything that an upper can change. */
function makeLower(): string {
  const root = makeTempDir('lower');
  const at = (p: string): string => path.join(root, p);
  for (const d of ['etc', 'usr/bin', 'old/deep', 'kept', 'whole/a']) mkdirSync(at(d), { recursive: true });
  for (const f of ['etc/passwd', 'etc/conf', 'usr/bin/tool', 'old/deep/file', 'kept/file', 'whole/a/b', 'whole/c', 'plain'])
    writeFileSync(at(f), `lower ${f}\n`);
  linkSync(at('etc/conf'), at('etc/conf.link'));
  symlinkSync('conf', at('etc/soft'));
  chmodSync(root, 0o755);
  return root;
}

/** Changes of every kind, by way of a mounted overlay. */
function change(root: string): void {
  const at = (p: string): string => path.join(root, p);
  writeFileSync(at('etc/conf'), 'written\n');
  unlinkSync(at('etc/passwd'));
  chmodSync(at('usr/bin/tool'), 0o4755);
  rmSync(at('old'), { recursive: true });
  mkdirSync(at('new/sub'), { recursive: true });
  writeFileSync(at('new/sub/file'), 'x'.repeat(100_000));
  linkSync(at('new/sub/file'), at('new/link'));
  symlinkSync('nowhere', at('new/soft'));
  rmSync(at('whole'), { recursive: true });
  mkdirSync(at('whole'));
  writeFileSync(at('whole/other'), 'only this');
  rmSync(at('plain'));
  mkdirSync(at('plain'));
  writeFileSync(at(`new/${'long-'.repeat(30)}ü`), '');
  chownSync(at('new/sub'), 1000, 3_000_000);
  execFileSync('mkfifo', [at('new/fifo')]);
  execFileSync('mknod', [at('new/null'), 'c', '1', '3']);
  // Written and unchanged in the end: copied up all the same.
  execFileSync('touch', ['-r', at('kept/file'), at('kept/file')]);
}

const CHANGES = [
  'modified /etc/conf',
  'deleted /etc/passwd',
  'added /new',
  'added /new/fifo',
  'added /new/link',
  `added /new/${'long-'.repeat(30)}ü`,
  'added /new/null',
  'added /new/soft',
  'added /new/sub',
  'added /new/sub/file',
  'deleted /old',
  'modified /plain',
  'modified /usr/bin/tool',
  'modified /whole',
  'added /whole/other',
];

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of items) out.push(item);
  return out;
}

async function collect(changes: AsyncIterable<Change>): Promise<string[]> {
  const out: string[] = [];
  for await (const { kind, path } of changes) out.push(`${kind} ${path}`);
  return out;
}

async function within<T>(work: Workspace, act: (root: string) => T): Promise<T> {
  using fd = await mountOverlay(await work.overlay());
  // Not /proc/self: programs that a test starts look at it as well.
  return act(`/proc/${process.pid}/fd/${fd.fd}`);
}

async function looked(work: Workspace, ...snapshot: Parameters<Workspace['look']>): Promise<Map<string, string>> {
  using fd = await work.look(...snapshot);
  return treeFacts(`/proc/self/fd/${fd.fd}/`);
}

describe.skipIf(!mountsHere.ok)(mountsHere.title('the changes of an upper'), () => {
  it('are found without mounting, each once; what was only copied up is none', async () => {
    const [lower, upper] = [makeLower(), makeTempDir('upper')];
    {
      using fd = await mountOverlay({ lower: [lower], upper: { directory: upper } });
      change(`/proc/${process.pid}/fd/${fd.fd}`);
    }
    expect(existsSync(path.join(upper, 'upper/kept/file'))).toBe(true);
    expect(await collect(diffUpper(upper, { lower: [lower] }))).toEqual(CHANGES);
    const [conf] = (await all(diffUpper(upper, { lower: [lower] }))) as [Change];
    expect(conf).toMatchObject({ type: 'file', mode: 0o644, uid: 0, gid: 0, size: 8, rawPath: Buffer.from('etc/conf') });
  });

  for (const form of ['dir', 'erofs'] as const)
    it.skipIf(form === 'erofs' && !layersAsFiles.ok)(`make a tar layer that shows the same tree (${form})`, async () => {
      const [lower, upper, layer] = [makeLower(), makeTempDir('upper'), path.join(makeTempDir('layer'), 'l')];
      using written = await mountOverlay({ lower: [lower], upper: { directory: upper } });
      change(`/proc/${process.pid}/fd/${written.fd}`);
      const expected = await treeFacts(`/proc/self/fd/${written.fd}/`);
      await using writer = openLayerWriter(layer, { form, userxattr: false });
      for await (const chunk of packUpper(upper, { lower: [lower] })) await writer.write(chunk);
      expect(await writer.end()).toMatchObject({ implicitDirectories: 0, xattrsDropped: 0, endMarker: true });
      using mount = form === 'erofs' ? await mountLayer(layer) : undefined;
      using again = await mountOverlay({ lower: [mount ?? layer, lower], readOnly: true });
      expect(differences(await treeFacts(`/proc/self/fd/${again.fd}/`), expected)).toEqual([]);
    });

  it('are an archive that GNU tar reads, the same bytes each time', async () => {
    const [lower, upper] = [makeLower(), makeTempDir('upper')];
    {
      using fd = await mountOverlay({ lower: [lower], upper: { directory: upper } });
      change(`/proc/${process.pid}/fd/${fd.fd}`);
    }
    const pack = async (): Promise<Buffer> => Buffer.concat(await all(packUpper(upper, { lower: [lower] })));
    const bytes = await pack();
    const listed = execFileSync('tar', ['--list', '--quoting-style=literal'], {
      input: bytes,
      encoding: 'utf8',
      env: { LC_ALL: 'C.UTF-8' },
    });
    for (const name of ['etc/.wh.passwd', '.wh.old', 'whole/.wh..wh..opq', 'new/link', `new/${'long-'.repeat(30)}ü`])
      expect(listed.split('\n')).toContain(name);
    expect(bytes.equals(await pack())).toBe(true);
  });

  it('cannot be told of an upper with renamed directories: an error, not a wrong answer', async () => {
    const [lower, upper] = [makeLower(), makeTempDir('upper')];
    {
      using fd = await mountOverlay({ lower: [lower], upper: { directory: upper }, redirectDir: true });
      renameSync(`/proc/self/fd/${fd.fd}/whole`, `/proc/self/fd/${fd.fd}/renamed`);
    }
    await expect(collect(diffUpper(upper, { lower: [lower] }))).rejects.toMatchObject({ code: 'CTR_UNSUPPORTED' });
  });

  it('end by the signal', async () => {
    const [lower, upper] = [makeLower(), makeTempDir('upper')];
    mkdirSync(path.join(upper, 'upper'));
    writeFileSync(path.join(upper, 'upper/f'), '');
    const signal = AbortSignal.abort();
    await expect(collect(diffUpper(upper, { lower: [lower], signal }))).rejects.toMatchObject({ code: 'ABORT_ERR' });
  });
});

describe.skipIf(!mountsHere.ok)(mountsHere.title('a workspace'), () => {
  const open = async (): Promise<{ work: Workspace; directory: string; lower: string }> => {
    const [lower, directory] = [makeLower(), path.join(makeTempDir('work'), 'w')];
    return { work: await openWorkspace(directory, { lower: [lower] }), directory, lower };
  };

  it('goes back to any of its snapshots, and shows each of them', async () => {
    const { work } = await open();
    const states: { snapshot: Awaited<ReturnType<Workspace['snapshot']>>; facts: Map<string, string> }[] = [];
    for (let i = 0; i < 4; i++) {
      await within(work, (root) => {
        writeFileSync(`${root}/etc/conf`, `state ${i}`);
        writeFileSync(`${root}/file-${i}`, '');
        if (i > 0) unlinkSync(`${root}/file-${i - 1}`);
      });
      states.push({ snapshot: await work.snapshot({ sync: false }), facts: await looked(work) });
    }
    for (const { snapshot, facts } of states) expect(differences(await looked(work, snapshot), facts)).toEqual([]);
    await work.rollback(states[1]?.snapshot as never);
    expect(await within(work, (root) => readFileSync(`${root}/etc/conf`, 'utf8'))).toBe('state 1');
    expect(differences(await looked(work), states[1]?.facts as never)).toEqual([]);
    await expect(work.rollback(states[3]?.snapshot as never)).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
    expect(await work.sweep(), 'two snapshots and the upper above them').toBe(3);
    await work.rollback(states[0]?.snapshot as never);
    expect(await within(work, (root) => readdirSync(root).includes('file-0'))).toBe(true);
  });

  it('tells what changed since a snapshot, and since its beginning', async () => {
    const { work } = await open();
    await within(work, change);
    const snapshot = await work.snapshot();
    await within(work, (root) => {
      unlinkSync(`${root}/new/link`);
      writeFileSync(`${root}/etc/passwd`, 'back');
    });
    expect(await collect(work.diff(snapshot))).toEqual(['added /etc/passwd', 'deleted /new/link']);
    const expected = CHANGES.filter((c) => !c.includes('/new/link')).map((c) => (c === 'deleted /etc/passwd' ? 'modified /etc/passwd' : c));
    expect(await collect(work.diff())).toEqual(expected);
  });

  it('branches off: what is written in one is not seen in the other', async () => {
    const { work, directory } = await open();
    await within(work, (root) => writeFileSync(`${root}/shared`, 'both'));
    await work.snapshot();
    using twin = await work.fork('twin');
    await within(twin, (root) => writeFileSync(`${root}/shared`, 'twin'));
    await within(work, (root) => unlinkSync(`${root}/shared`));
    expect(await within(twin, (root) => readFileSync(`${root}/shared`, 'utf8'))).toBe('twin');
    expect((await looked(work)).has('shared')).toBe(false);
    await expect(work.fork('twin')).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
    await work.remove();
    using reopened = await openWorkspace(directory, { branch: 'twin' });
    expect(await within(reopened, (root) => readFileSync(`${root}/shared`, 'utf8'))).toBe('twin');
    await reopened.remove();
    expect(readdirSync(path.join(directory, 'uppers'))).toEqual([]);
  });

  it('becomes flat, with the same tree and no more layers', async () => {
    const { work } = await open();
    await within(work, change);
    await work.snapshot({ sync: false });
    for (let i = 0; i < 12; i++) {
      await within(work, (root) => {
        writeFileSync(`${root}/new/round-${i}`, `${i}`);
        if (i % 2 === 1) unlinkSync(`${root}/new/round-${i - 1}`);
        if (i === 5) rmSync(`${root}/new/sub`, { recursive: true });
      });
      await work.snapshot({ sync: false });
    }
    const before = await looked(work);
    expect(await work.depth()).toBe(14);
    await work.flatten();
    expect(await work.depth()).toBe(2);
    expect(differences(await looked(work), before)).toEqual([]);
    await work.sweep();
    await within(work, (root) => writeFileSync(`${root}/after`, ''));
    const flat = await work.snapshot();
    await within(work, (root) => unlinkSync(`${root}/after`));
    await work.rollback(flat);
    expect(await within(work, (root) => existsSync(`${root}/after`))).toBe(true);
  });

  it('stands on layers that are files, too', async () => {
    if (!layersAsFiles.ok) return;
    const layer = path.join(makeTempDir('layer'), 'l');
    await using writer = openLayerWriter(layer, { form: 'erofs', userxattr: false });
    await writer.write(archive(dir('d'), file('d/f', 'from the layer')));
    await writer.end();
    using work = await openWorkspace(path.join(makeTempDir('work'), 'w'), { lower: [layer] });
    await within(work, (root) => writeFileSync(`${root}/d/g`, ''));
    const snapshot = await work.snapshot();
    await within(work, (root) => unlinkSync(`${root}/d/f`));
    expect(await collect(work.diff())).toEqual(['deleted /d/f', 'added /d/g']);
    expect((await looked(work, snapshot)).has('d/f')).toBe(true);
  });

  it('refuses what is no branch, other layers, and none', async () => {
    const { directory, lower } = await open();
    const refused = { code: 'CTR_INVALID_ARGUMENT' };
    await expect(openWorkspace(directory, { lower: [lower, lower] })).rejects.toMatchObject(refused);
    await expect(openWorkspace(directory, { branch: '../main' })).rejects.toMatchObject(refused);
    await expect(openWorkspace(directory, { branch: 'other' })).rejects.toMatchObject(refused);
    await removeTree(directory);
  });
});
