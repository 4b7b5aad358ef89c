// What a program in a container sees of the host's control groups, on the real kernel: a namespace of its own, mounts that are read-only, none.
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { need } from '@ctr/internal/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { createCgroup } from '../src/index.js';
import { endChildren, exitOf, start, withParent } from './support.js';

afterEach(endChildren);

/** Plain JavaScript, for a Node of its own. */
const built = fileURLToPath(new URL('../dist/index.js', import.meta.url));

/** The mounts of control groups: where, which type, and the controllers of v1. */
const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
  .trim()
  .split('\n')
  .map((line) => line.split(' - ').map((part) => part.split(' ')))
  .filter(([, [type = ''] = []]) => type.startsWith('cgroup'))
  .map(([before = [], [type = '', , options = ''] = []]) => ({ at: before[4] ?? '', type, options }));

/** v1's mounts are found again by their controllers, or by their name. */
const mountAgain = mounts
  .map(({ at, type, options }) => {
    const kept = options
      .split(',')
      .filter((o) => /^(cpu|cpuacct|cpuset|memory|devices|freezer|blkio|pids|net_\w+|perf_event|hugetlb|rdma|misc|name=.*)$/.test(o));
    return `umount -l ${at} && mount -t ${type} ${type === 'cgroup' ? `-o ${kept.some((o) => o.startsWith('name=')) ? `none,${kept}` : kept}` : ''} none ${at}`;
  })
  .join(' && ');

/**
 * Runs `script` in a Node of its own, behind `change` in a mount namespace. The script has the package as `c`, `say(value)`, and `heard()`,
 * which waits for a line from here.
 */
function inView(change: string, script: string, namespaces: string[] = []) {
  const code = `
    const c = await import(${JSON.stringify(built)});
    const say = (v) => process.stdout.write(JSON.stringify(v) + '\\n');
    const heard = () => new Promise((r) => process.stdin.once('data', r));
    try { ${script} } catch (e) { say({ failed: e.stack }); }
    process.exit();`;
  const child = start('sh', [
    '-c',
    `read go; exec unshare --mount ${namespaces.join(' ')} sh -c 'change=$1; shift; eval "$change" && exec "$@"' sh "$@"`,
    'sh',
    change,
    process.execPath,
    '--input-type=module',
    '-e',
    code,
  ]);
  const lines: string[] = [];
  let rest = '';
  child.stdout?.on('data', (data) => {
    const parts = (rest + data).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
  });
  return {
    child,
    go: () => child.stdin?.write('\n'),
    /** What it says next. */
    said: async (): Promise<Record<string, unknown>> => {
      while (lines.length === 0 && child.exitCode === null)
        await Promise.race([once(child.stdout as NodeJS.EventEmitter, 'data'), once(child, 'exit')]);
      return JSON.parse(lines.shift() ?? '{"failed":"it said nothing"}');
    },
  };
}

/** Everything below a cgroup that is a cgroup. */
const below = (directory: string): string[] =>
  existsSync(directory) ? readdirSync(directory, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? [e.name] : [])) : [];

const n = need('root', 'cgroup:pids');

describe.skipIf(!n.ok)(n.title('a program that sees less'), () => {
  it('in a cgroup namespace: its own cgroup is the root, and it never leaves it', async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { pids: 100 });
      const view = inView(
        mountAgain,
        `
        const host = await c.detectCgroups();
        const parent = await c.openParent('inner', { moveSelf: true });
        const one = await c.createCgroup(parent, 'one', { pids: 5 });
        const { readFileSync } = await import('node:fs');
        say({ mode: host.mode, own: readFileSync('/proc/self/cgroup', 'utf8'), pids: (await one.limits()).pids });
        await heard();
        await one.remove();
        await parent.remove();
        say({ end: true });`,
        ['--cgroup'],
      );
      await box.add(view.child.pid);
      view.go();
      const said = await view.said();
      expect(said, String(said['failed'])).toMatchObject({ pids: 5 });
      // No path that leads out of it: '/../' is what the kernel calls a cgroup outside.
      expect(said['own']).not.toContain('/..');
      const limited = box.directories['pids'] ?? '';
      expect(below(limited)).toContain('inner');
      expect(below(`${limited}/inner`)).toContain('one');
      view.go();
      expect(await view.said()).toEqual({ end: true });
      expect((await exitOf(view.child)).code).toBe(0);
      expect(below(limited)).not.toContain('inner');
    });
  });

  it.each([
    ['read-only', mounts.map(({ at }) => `mount -o remount,bind,ro ${at}`).join(' && '), /read-only|may not be written|EROFS/i],
    [
      'none',
      mounts
        .map(({ at }) => at)
        .reverse()
        .map((at) => `umount -l ${at}`)
        .join(' && '),
      /./,
    ],
  ])('with control groups that are %s: nothing is made, and a limit is refused with the reason', async (_, change, reason) => {
    const view = inView(
      change,
      `
      const parent = await c.openParent('inner');
      const refused = await c.createCgroup(parent, 'one', { pids: 5 }).then(() => undefined, (e) => ({ code: e.code, message: e.message }));
      say({ mode: parent.host.mode, usable: parent.usable, missing: parent.missing, refused, described: c.describeCgroup(parent, 'one').create?.length ?? 0 });`,
    );
    view.go();
    const said = await view.said();
    expect(said, String(said['failed'])).toMatchObject({ usable: false, refused: { code: 'CTR_UNSUPPORTED' } });
    expect((said['refused'] as { message: string }).message).toMatch(reason);
    expect((await exitOf(view.child)).code).toBe(0);
  });
});
