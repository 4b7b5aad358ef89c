// What is left of writable layers on disk: nothing, whether they were written to or not.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { hold } from '@ctr/namespaces';
import { describeRemoveUpper } from '@ctr/overlayfs';
import { describe, expect, it } from 'vitest';
import { runContainer } from '../src/index.js';
import { openSession } from '../src/session/session.js';
import { busyboxRoot } from './busybox-root.js';

const n = need('busybox', process.getuid?.() === 0 ? 'root' : 'overlay-in-userns');

describe('the removal of an upper', () => {
  /** Runs the steps in a monitor; true when what is for a layer that was written to was left out. */
  async function removedAtOnce(directory: string): Promise<boolean> {
    const marker = path.join(makeTempDir('marker'), 'marker');
    const otherwise = { call: 'mkdirat', args: [-100, marker, 0o700] };
    const { release } = await hold({ doing: 'test', prepare: [], cleanup: describeRemoveUpper(directory, [otherwise]) });
    await release();
    return !existsSync(marker);
  }

  function upper(...more: string[]): string {
    const directory = path.join(makeTempDir('upper'), 'layer');
    for (const d of ['upper', 'work/work/incompat/volatile', ...more]) mkdirSync(path.join(directory, d), { recursive: true });
    writeFileSync(path.join(directory, 'work/work/incompat/volatile/dirty'), '');
    return directory;
  }

  it('takes what overlayfs makes, and nothing else is needed', async () => {
    const directory = upper();
    expect(await removedAtOnce(directory)).toBe(true);
    expect(existsSync(directory)).toBe(false);
  });

  it('of one that was written to goes on with what removes a tree, and has taken nothing that was written', async () => {
    for (const written of ['upper/etc', 'work/work/#1']) {
      const directory = upper(written);
      expect(await removedAtOnce(directory)).toBe(false);
      expect(existsSync(path.join(directory, written))).toBe(true);
    }
  });

  it('leaves the last step to what removes the tree, where that is all that follows', async () => {
    const tree = (directory: string) => ({ call: 'remove_tree', args: [directory] });
    expect(describeRemoveUpper('/a', [tree('/a')]).filter((s) => s.args.includes('/a'))).toEqual([tree('/a')]);
    expect(describeRemoveUpper('/a', [tree('/b')]).at(-2)).toMatchObject({ call: 'unlinkat', skipOnSuccess: 1 });
    for (const directory of [upper(), upper('upper/etc')]) {
      const { release } = await hold({ doing: 'test', prepare: [], cleanup: describeRemoveUpper(directory, [tree(directory)]) });
      await release();
      expect(existsSync(directory)).toBe(false);
    }
  });

  it('of one that was never made goes on too, which finds nothing', async () => {
    expect(await removedAtOnce(path.join(makeTempDir('upper'), 'none'))).toBe(false);
  });
});

describe.skipIf(!n.ok)(n.title('a container with its layer on disk'), () => {
  it.each([
    ['that writes nothing', 'true'],
    ['that writes', 'mkdir -p /a/b/c; echo x > /a/b/c/d; rm -rf /etc; chmod 700 /'],
  ])('%s leaves nothing', async (_, script) => {
    await runContainer({ rootfs: busyboxRoot(), command: ['sh', '-c', script], writable: 'disk' }).result();
    expect(readdirSync((await openSession()).uppers)).toEqual([]);
  });
});
