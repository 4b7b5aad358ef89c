// Hosts that no machine here is: their directories as ordinary files, their mounts as text. What would be made where, and
// what is refused with which cure.
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { parentDirectories } from '../parent/directories.js';
import { canEnforce } from '../plan/can-enforce.js';
import type { Resources } from '../resources.js';
import { detectFrom } from './detect.js';

/** Files of a cgroup directory. */
function cgroup(directory: string, files: Record<string, string>): string {
  mkdirSync(directory, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(directory, name), content);
  return directory;
}

const v2 = (directory: string, controllers: string, more: Record<string, string> = {}): string =>
  cgroup(directory, {
    'cgroup.controllers': `${controllers}\n`,
    'cgroup.subtree_control': '\n',
    'cgroup.procs': '',
    'cgroup.type': 'domain\n',
    ...more,
  });

/** 'major:minor' of what lies in a temporary directory, as mountinfo has it. */
const device = (directory: string): string => {
  const { dev } = statSync(directory);
  return `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
};

const mount = (at: string, type: 'cgroup' | 'cgroup2', options: string, root = '/'): string =>
  `30 20 ${device(at)} ${root} ${at} rw - ${type} x rw${options === '' ? '' : `,${options}`}\n`;

/** The refusal of these limits, and its cure. */
const refused = (host: Parameters<typeof canEnforce>[0], r: Resources): string[] =>
  canEnforce(host, r).missing.map((e) => `${e.feature}: ${e.found} (${e.hint})`);

describe('layouts', () => {
  it('a delegated scope of systemd: below it, in the one that holds no process', async () => {
    const root = v2(makeTempDir('cg'), 'cpu memory pids');
    const service = v2(path.join(root, 'user@1000.service'), 'memory pids');
    const own = v2(path.join(service, 'app.scope'), 'memory pids', { 'cgroup.procs': '7\n' });
    const host = await detectFrom(mount(root, 'cgroup2', ''), '0::/user@1000.service/app.scope\n');
    expect(host.mode).toBe('unified');
    expect(host.unified).toMatchObject({ directory: own, available: ['memory', 'pids'] });
    expect(canEnforce(host, { memory: 4096, pids: 5 }).ok).toBe(true);
  });

  it('a container with a cgroup namespace whose only cgroup holds its processes: moveSelf is the cure', async () => {
    const root = v2(makeTempDir('cg'), 'cpu memory pids', { 'cgroup.procs': '1\n' });
    const host = await detectFrom(mount(root, 'cgroup2', 'nsdelegate'), '0::/\n');
    expect(host.unified).toMatchObject({ directory: root, parentDirectory: root, controllers: [] });
    expect(refused(host, { memory: 4096 })[0]).toContain('moveSelf');
  });

  it('a container that sees another part of the tree than its own', async () => {
    const root = v2(makeTempDir('cg'), 'memory');
    const host = await detectFrom(mount(root, 'cgroup2', '', '/docker/other'), '0::/docker/mine\n');
    expect(host).toMatchObject({ mode: 'none', controllers: {}, unified: null });
    expect(refused(host, { memory: 4096 })[0]).toContain('this host has no such controller');
  });

  it('v1 with controllers that share a mount, and memory on cgroup2', async () => {
    const base = makeTempDir('cg');
    const cpu = cgroup(path.join(base, 'cpu,cpuacct'), { tasks: '', 'cpu.shares': '1024' });
    const unified = v2(path.join(base, 'unified'), 'memory');
    const mounts = mount(cpu, 'cgroup', 'cpu,cpuacct') + mount(unified, 'cgroup2', '');
    const host = await detectFrom(mounts, '3:cpu,cpuacct:/\n0::/\n');
    expect(host.mode).toBe('hybrid');
    expect(Object.fromEntries(Object.entries(host.controllers).map(([n, c]) => [n, c.version]))).toEqual({ cpu: 1, cpuacct: 1, memory: 2 });
    expect(canEnforce(host, { cpus: 1, memory: 4096, memoryHigh: 4096 }).ok).toBe(true);
    expect(refused(host, { pids: 5 })[0]).toContain('a limit on the number of processes: this host has no such controller');
    // Device rules are a program there, on a directory of its own below the parent.
    expect(parentDirectories(host, 'p')).toEqual([`${cpu}/p`, `${unified}/p/_default-devices`, `${unified}/p`]);
  });

  it('v1 alone: what only v2 has is refused, and the other way round', async () => {
    const base = makeTempDir('cg');
    const names = ['memory', 'cpu', 'blkio', 'devices', 'net_cls'];
    const mounts = names.map((n) => mount(cgroup(path.join(base, n), { tasks: '' }), 'cgroup', n)).join('');
    const host = await detectFrom(mounts, names.map((n, i) => `${i + 1}:${n}:/\n`).join(''));
    expect(host.mode).toBe('legacy');
    expect(canEnforce(host, { memory: 4096, cpus: 1, devices: 'default', netClassId: 5, ioWeight: 100 }).ok).toBe(true);
    for (const r of [{ memoryHigh: 4096 }, { memoryMin: 0 }, { oomGroup: true }, { unified: { 'memory.low': '1' } }] as Resources[])
      expect(canEnforce(host, r).missing, JSON.stringify(r)).toHaveLength(1);
    const holes = [{ allow: true }, { allow: false, type: 'c', major: 1, minor: 3 }, { allow: true, type: 'c', major: 1 }] as const;
    expect(canEnforce(host, { devices: holes }).ok).toBe(true);
    const cut = [
      { allow: true, type: 'b' },
      { allow: false, type: 'b', major: 8 },
    ] as const;
    expect(refused(host, { devices: cut })[0]).toContain('name the devices that are allowed');
  });

  it('none at all', async () => {
    const host = await detectFrom('22 1 8:1 / / rw - ext4 /dev/sda1 rw\n', '0::/\n');
    expect(host).toMatchObject({ mode: 'none', controllers: {}, unified: null });
    expect(parentDirectories(host, 'p')).toEqual([]);
    const all: Resources[] = [
      { memory: 4096 },
      { cpus: 1 },
      { pids: 1 },
      { cpusetCpus: '0' },
      { ioWeight: 1 },
      { hugetlb: { '2MB': 1 } },
      { misc: { sev: 1 } },
    ];
    for (const r of all) expect(canEnforce(host, r).missing, JSON.stringify(r)).toHaveLength(1);
  });
});
