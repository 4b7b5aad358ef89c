import type { Arg, Bytes, Step } from '@ctr/internal/steps';
import { describe, expect, it } from 'vitest';
import { canEnforce } from './can-enforce.js';
import { describeCgroup, describeEnter } from './describe.js';
import { hybridParent, lockedParent, unifiedParent } from './fixtures.js';

const shownArg = (a: Arg): string => {
  if (typeof a === 'object' && a !== null) return 'text' in a ? (a.text ?? '') : 'slot' in a ? `<${a.slot}>` : '?';
  return JSON.stringify(a);
};
/** `into = call(args) [allowed]`, like strace. */
const shown = (steps: readonly Step[]): string[] =>
  steps.map((s) => `${s.into ? `${s.into} = ` : ''}${s.call}(${s.args.map(shownArg).join(', ')})${s.allow ? ` [${s.allow}]` : ''}`);

const thrown = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`;
  }
  return 'nothing';
};

describe('a cgroup as steps', () => {
  it('on v1 and hybrid: one directory for each hierarchy, three steps for each limit, entered by tasks', () => {
    const d = describeCgroup(hybridParent(), 'web', { memory: 1 << 20, cpus: 0.5, pids: 20, devices: 'default' });
    expect({
      prepare: shown(d.prepare),
      beside: shown(d.beside),
      setup: shown(d.setup),
      cloneInto: d.cloneInto,
      kill: shown(d.kill),
      collect: shown(d.collect),
      cleanup: shown(d.cleanup),
      directories: d.directories,
      notEnforced: d.notEnforced,
    }).toMatchInlineSnapshot(`
      {
        "beside": [
          "mkdirat(AT_FDCWD, "/cg/cpu/p/web", 0755)",
          "mkdirat(AT_FDCWD, "/cg/memory/own/p/web", 0755)",
          "mkdirat(AT_FDCWD, "/cg/devices/p/_default-devices/web", 0755)",
          "mkdirat(AT_FDCWD, "/cg/pids/p/web", 0755)",
          "cg.file = openat(AT_FDCWD, "/cg/cpu/p/web/cpu.cfs_quota_us", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.file>, "50000", 5)",
          "close(<cg.file>)",
          "cg.file = openat(AT_FDCWD, "/cg/memory/own/p/web/memory.limit_in_bytes", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.file>, "1048576", 7)",
          "close(<cg.file>)",
          "cg.file = openat(AT_FDCWD, "/cg/memory/own/p/web/memory.memsw.limit_in_bytes", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.file>, "1048576", 7)",
          "close(<cg.file>)",
          "cg.file = openat(AT_FDCWD, "/cg/pids/p/web/pids.max", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.file>, "20", 2)",
          "close(<cg.file>)",
        ],
        "cleanup": [
          "remove_tree("/cg/cpu/p/web") [ENOENT]",
          "remove_tree("/cg/memory/own/p/web") [ENOENT]",
          "remove_tree("/cg/devices/p/_default-devices/web") [ENOENT]",
          "remove_tree("/cg/pids/p/web") [ENOENT]",
          "remove_tree("/cg/unified/p/web") [ENOENT]",
        ],
        "cloneInto": "cg.unified",
        "collect": [
          "report_file("/cg/cpu/p/web/cpu.stat")",
          "report_file("/cg/cpu/p/web/cpuacct.usage")",
          "report_file("/cg/memory/own/p/web/memory.oom_control")",
          "report_file("/cg/memory/own/p/web/memory.max_usage_in_bytes")",
          "report_file("/cg/pids/p/web/pids.events")",
          "report_file("/cg/pids/p/web/pids.peak")",
        ],
        "directories": {
          "cpu": "/cg/cpu/p/web",
          "cpuacct": "/cg/cpu/p/web",
          "devices": "/cg/devices/p/_default-devices/web",
          "memory": "/cg/memory/own/p/web",
          "pids": "/cg/pids/p/web",
          "unified": "/cg/unified/p/web",
        },
        "kill": [
          "cg.file = openat(AT_FDCWD, "/cg/unified/p/web/cgroup.kill", O_WRONLY|O_CLOEXEC, 0) [ENOENT]",
          "write(<cg.file>, "1", 1) [ENODEV]",
          "close(<cg.file>)",
        ],
        "notEnforced": [],
        "prepare": [
          "mkdirat(AT_FDCWD, "/cg/unified/p/web", 0755)",
          "cg.unified = openat(AT_FDCWD, "/cg/unified/p/web", O_PATH|O_CLOEXEC, 0)",
        ],
        "setup": [
          "cg.cpu = openat(AT_FDCWD, "/cg/cpu/p/web/tasks", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.cpu>, "0", 1)",
          "cg.memory = openat(AT_FDCWD, "/cg/memory/own/p/web/tasks", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.memory>, "0", 1)",
          "cg.devices = openat(AT_FDCWD, "/cg/devices/p/_default-devices/web/tasks", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.devices>, "0", 1)",
          "cg.pids = openat(AT_FDCWD, "/cg/pids/p/web/tasks", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.pids>, "0", 1)",
        ],
      }
    `);
  });

  it('on v2: one directory, entered by CLONE_INTO_CGROUP', () => {
    const d = describeCgroup(unifiedParent(), 'web', {
      memory: 1 << 20,
      cpus: 2,
      oomGroup: true,
      unified: { 'memory.min': '4096' },
      devices: 'default',
    });
    expect({
      prepare: shown(d.prepare),
      beside: d.beside,
      setup: d.setup,
      cloneInto: d.cloneInto,
      collect: shown(d.collect),
      cleanup: shown(d.cleanup),
    }).toMatchInlineSnapshot(`
      {
        "beside": [],
        "cleanup": [
          "remove_tree("/cg/p/web") [ENOENT]",
        ],
        "cloneInto": "cg.unified",
        "collect": [
          "report_file("/cg/p/web/cpu.stat")",
          "report_file("/cg/p/web/memory.events")",
          "report_file("/cg/p/web/memory.peak")",
          "report_file("/cg/p/web/pids.events")",
        ],
        "prepare": [
          "mkdirat(AT_FDCWD, "/cg/p/web", 0755)",
          "cg.file = openat(AT_FDCWD, "/cg/p/web/cpu.max", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.file>, "200000 100000", 13)",
          "close(<cg.file>)",
          "cg.file = openat(AT_FDCWD, "/cg/p/web/memory.max", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.file>, "1048576", 7)",
          "close(<cg.file>)",
          "cg.file = openat(AT_FDCWD, "/cg/p/web/memory.swap.max", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.file>, "0", 1)",
          "close(<cg.file>)",
          "cg.file = openat(AT_FDCWD, "/cg/p/web/memory.oom.group", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.file>, "1", 1)",
          "close(<cg.file>)",
          "cg.file = openat(AT_FDCWD, "/cg/p/web/memory.min", O_WRONLY|O_CLOEXEC, 0)",
          "write(<cg.file>, "4096", 4)",
          "close(<cg.file>)",
          "cg.unified = openat(AT_FDCWD, "/cg/p/web", O_PATH|O_CLOEXEC, 0)",
        ],
        "setup": [],
      }
    `);
    expect(d.notEnforced).toEqual(['devices']);
  });

  it('on v2: device rules of its own are a program, loaded and put on the directory before there is a process', () => {
    const rules = [{ allow: true, type: 'c', major: 1, minor: 3 }] as const;
    const { prepare, notEnforced } = describeCgroup(unifiedParent(), 'web', { devices: rules });
    expect(notEnforced).toEqual([]);
    expect(shown(prepare)).toMatchInlineSnapshot(`
      [
        "mkdirat(AT_FDCWD, "/cg/p/web", 0755)",
        "cg.unified = openat(AT_FDCWD, "/cg/p/web", O_PATH|O_CLOEXEC, 0)",
        "cg.devices.program = bpf(BPF_PROG_LOAD, {13 instructions}, 64)",
        "bpf(BPF_PROG_ATTACH, {BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI}, 16)",
        "close(<cg.devices.program>)",
      ]
    `);
    const [load, attach] = prepare.filter((s) => s.call === 'bpf').map((s) => s.args[1] as Bytes);
    expect(Buffer.from(load?.bytes ?? []).toString('hex')).toMatch(/^0f000000/);
    expect(Buffer.from(load?.bytes ?? []).toString('latin1')).toContain('ctr_devices');
    expect(load?.patches?.map((p) => p.at)).toEqual([8, 16]);
    expect(attach?.patches).toEqual([
      { at: 0, value: { slot: 'cg.unified' } },
      { at: 4, value: { slot: 'cg.devices.program' } },
    ]);
    expect(() => describeCgroup(unifiedParent({ devices: 'bpf(2) failed with EPERM' }), 'web', { devices: rules })).toThrow(
      /a rule for device files.*EPERM/s,
    );
    expect(describeCgroup(unifiedParent({ devices: 'EPERM' }), 'web', { devices: 'default' }).notEnforced).toEqual(['devices']);
  });

  it('without devices rules the cgroup lies beside the one that has them', () => {
    expect(describeCgroup(hybridParent(), 'web', { devices: 'all' }).directories['devices']).toBe('/cg/devices/p/web');
    expect(describeCgroup(hybridParent(), 'web').directories['devices']).toBe('/cg/devices/p/web');
  });

  it('is empty where no cgroup can be made and no limit is asked for', () => {
    const empty = { prepare: [], beside: [], setup: [], kill: [], collect: [], cleanup: [], directories: {}, notEnforced: [] };
    expect(describeCgroup(lockedParent(), 'web', {})).toEqual(empty);
    expect(describeCgroup(lockedParent(), 'web', { devices: 'all', oomGroup: false, memory: undefined })).toEqual(empty);
    expect(describeEnter({})).toEqual({ prepare: [], setup: [] });
  });

  it('enters one that exists by what was remembered of it', () => {
    const { directories } = describeCgroup(hybridParent(), 'web');
    const e = describeEnter(JSON.parse(JSON.stringify(directories)));
    expect({ prepare: shown(e.prepare), setup: shown(e.setup), cloneInto: e.cloneInto }).toMatchInlineSnapshot(`
      {
        "cloneInto": "cg.unified",
        "prepare": [
          "cg.cpu = openat(AT_FDCWD, "/cg/cpu/p/web/tasks", O_WRONLY|O_CLOEXEC, 0)",
          "cg.memory = openat(AT_FDCWD, "/cg/memory/own/p/web/tasks", O_WRONLY|O_CLOEXEC, 0)",
          "cg.devices = openat(AT_FDCWD, "/cg/devices/p/web/tasks", O_WRONLY|O_CLOEXEC, 0)",
          "cg.pids = openat(AT_FDCWD, "/cg/pids/p/web/tasks", O_WRONLY|O_CLOEXEC, 0)",
          "cg.unified = openat(AT_FDCWD, "/cg/unified/p/web", O_PATH|O_CLOEXEC, 0)",
        ],
        "setup": [
          "write(<cg.cpu>, "0", 1)",
          "write(<cg.memory>, "0", 1)",
          "write(<cg.devices>, "0", 1)",
          "write(<cg.pids>, "0", 1)",
        ],
      }
    `);
  });

  it('each step says what it is for', () => {
    const d = describeCgroup(hybridParent(), 'web', { memory: 1 << 20 });
    for (const s of [...d.prepare, ...d.beside, ...d.setup, ...d.kill, ...d.collect, ...d.cleanup])
      expect(s.doing).toMatch(/^(make|limit|open|enter|kill|read|remove) /);
  });

  it('removing the parent takes the inner directory first', () => {
    expect(shown(hybridParent().describeRemove())).toMatchInlineSnapshot(`
      [
        "unlinkat(AT_FDCWD, "/cg/cpu/p", AT_REMOVEDIR) [ENOENT]",
        "unlinkat(AT_FDCWD, "/cg/memory/own/p", AT_REMOVEDIR) [ENOENT]",
        "unlinkat(AT_FDCWD, "/cg/devices/p/_default-devices", AT_REMOVEDIR) [ENOENT]",
        "unlinkat(AT_FDCWD, "/cg/devices/p", AT_REMOVEDIR) [ENOENT]",
        "unlinkat(AT_FDCWD, "/cg/pids/p", AT_REMOVEDIR) [ENOENT]",
        "unlinkat(AT_FDCWD, "/cg/unified/p", AT_REMOVEDIR) [ENOENT]",
      ]
    `);
  });
});

describe('what cannot be enforced', () => {
  it('is refused with reason and cure, before there is a step', () => {
    expect([
      thrown(() => describeCgroup(lockedParent(), 'web', { memory: 1 << 20 })),
      thrown(() => describeCgroup(lockedParent(), 'web', { pids: 5 })),
      thrown(() => describeCgroup(lockedParent(), 'web', { devices: 'default' })),
      thrown(() => describeCgroup(hybridParent(), 'web', { oomGroup: true })),
      thrown(() => describeCgroup(hybridParent(), 'web', { cpusetCpus: '0' })),
      thrown(() => describeCgroup(hybridParent(), 'web', { unified: { 'memory.min': '1' } })),
      thrown(() => describeCgroup(unifiedParent(), 'web', { unified: { 'memory.nosuch': '1' } })),
      thrown(() => describeCgroup(unifiedParent(), 'web', { cpusetCpus: '0-2' })),
    ]).toMatchInlineSnapshot(`
      [
        "CTR_UNSUPPORTED: a memory limit is not available here: it needs a cgroup with the memory controller that this user may write, found /cg/memory is not writable by this user (EACCES)
        hint: run as root, or in a cgroup that was delegated to you: systemd-run --user --scope -p Delegate=yes node …; without limits no cgroup is needed",
        "CTR_UNSUPPORTED: a limit on the number of processes is not available here: it needs a cgroup with the pids controller that this user may write, found this host has no such controller
        hint: /proc/cgroups tells whether this kernel has it, and /proc/mounts whether it is mounted",
        "CTR_UNSUPPORTED: a rule for device files is not available here: it needs a cgroup with the devices controller that this user may write, found /cg/devices is not writable by this user (EACCES)
        hint: run as root, or in a cgroup that was delegated to you: systemd-run --user --scope -p Delegate=yes node …; without limits no cgroup is needed",
        "CTR_UNSUPPORTED: killing all processes together when memory runs out (oomGroup) is not available here: it needs the memory controller of cgroup v2, found the memory controller of cgroup v1
        hint: leave oomGroup out, or boot the host with systemd.unified_cgroup_hierarchy=1",
        "CTR_UNSUPPORTED: a choice of CPUs or memory nodes is not available here: it needs a cgroup with the cpuset controller that this user may write, found this host has no such controller
        hint: /proc/cgroups tells whether this kernel has it, and /proc/mounts whether it is mounted",
        "CTR_UNSUPPORTED: the cgroup file memory.min is not available here: it needs the memory controller of cgroup v2, found the memory controller of cgroup v1",
        "CTR_UNSUPPORTED: the cgroup file memory.nosuch is not available here: it needs a kernel whose cgroups have memory.nosuch, found one without",
        "CTR_INVALID_ARGUMENT: expected "resources.cpusetCpus" to be CPUs that are available here (0,1), received "0-2" (string)",
      ]
    `);
  });

  it('bad names and values are refused', () => {
    for (const name of ['', '.', '..', 'a/b', 'A', '_default-devices', 'a\0', 'x'.repeat(201), 'a b', 'é'])
      expect(
        thrown(() => describeCgroup(hybridParent(), name)),
        JSON.stringify(name),
      ).toContain('CTR_INVALID_ARGUMENT: expected "name" to be');
    expect(thrown(() => describeCgroup(hybridParent(), 'a', { memory: 1.5 }))).toContain('resources.memory');
  });

  it('can be asked for beforehand, of a parent and of a host', () => {
    expect(canEnforce(hybridParent(), { memory: 1 << 20, pids: 5, devices: 'default' })).toEqual({
      ok: true,
      missing: [],
      notEnforced: [],
    });
    expect(canEnforce(hybridParent().host, { memory: 1 << 20, pids: 5 }).ok).toBe(true);
    const no = canEnforce(hybridParent(), { memoryHigh: 8192, oomGroup: true, pids: 5 });
    expect([no.ok, no.missing.map((e) => e.feature)]).toMatchInlineSnapshot(`
      [
        false,
        [
          "slowing down from a memory usage on (memoryHigh)",
          "killing all processes together when memory runs out (oomGroup)",
        ],
      ]
    `);
    expect(canEnforce(lockedParent(), {}).ok).toBe(true);
    expect(canEnforce(lockedParent().host, { memory: 1 << 20 }).missing[0]?.found).toBe('/cg/memory is not writable by this user (EACCES)');
    expect(canEnforce(unifiedParent(), { devices: 'default' })).toEqual({ ok: false, missing: [], notEnforced: ['devices'] });
  });
});
