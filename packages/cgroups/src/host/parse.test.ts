import { describe, expect, it } from 'vitest';
import { type HostTexts, HYBRID, LEGACY, NAMESPACED, NESTED, NONE, UNIFIED } from './fixtures.js';
import { modeOf, parseHierarchies } from './parse.js';

/** 'memory -> /sys/fs/cgroup/memory/x' or why not. */
const summary = (h: HostTexts): string[] =>
  parseHierarchies(h.mountinfo, h.cgroup).map(
    (x) =>
      `v${x.version} ${x.controllers.join('+') || '-'} -> ${x.places.map((p) => `${p.directory}${p.readOnly ? ' ro' : ''} (${p.device})`).join(', ') || x.reason}`,
  );
const mode = (h: HostTexts) => modeOf(parseHierarchies(h.mountinfo, h.cgroup));

describe('finding the hierarchies', () => {
  it('finds cgroup2 where it is mounted', () => {
    expect(mode(UNIFIED)).toBe('unified');
    expect(summary(UNIFIED)).toMatchInlineSnapshot(`
      [
        "v2 - -> /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope (0:26)",
      ]
    `);
  });

  it('finds v1 controllers and cgroup2 of a hybrid host, each with its own path', () => {
    expect(mode(HYBRID)).toBe('hybrid');
    expect(summary(HYBRID)).toMatchInlineSnapshot(`
      [
        "v1 name=systemd -> /sys/fs/cgroup/systemd (0:37)",
        "v1 memory -> /sys/fs/cgroup/memory/app/65a8 (0:32)",
        "v1 cpuacct -> /sys/fs/cgroup/cpuacct (0:30)",
        "v1 cpu -> /sys/fs/cgroup/cpu (0:29)",
        "v2 - -> /sys/fs/cgroup/unified (0:38)",
      ]
    `);
  });

  it('keeps controllers that share a hierarchy together, and counts a named one as no controller', () => {
    expect(mode(LEGACY)).toBe('legacy');
    expect(summary(LEGACY)).toMatchInlineSnapshot(`
      [
        "v1 cpu+cpuacct -> /sys/fs/cgroup/cpu,cpuacct/system.slice/app.service (0:26)",
        "v1 net_cls+net_prio -> /sys/fs/cgroup/net_cls,net_prio (0:27)",
        "v1 freezer -> it is not mounted",
        "v1 name=systemd -> /sys/fs/cgroup/systemd/system.slice/app.service (0:23)",
      ]
    `);
  });

  it('inside a container takes off what the mount leaves out, prefers a writable mount, and says what is out of sight', () => {
    expect(mode(NESTED)).toBe('legacy');
    expect(summary(NESTED)).toMatchInlineSnapshot(`
      [
        "v1 memory -> /sys/fs/cgroup/memory/web:1 ro (0:29)",
        "v1 pids -> /mnt/my pids (0:30), /sys/fs/cgroup/pids ro (0:30)",
        "v1 cpu -> our own cgroup /docker/ab12 lies outside of what is mounted at /sys/fs/cgroup/cpu",
        "v1 freezer -> our own cgroup / lies outside of what is mounted at /sys/fs/cgroup/freezer",
        "v1 blkio -> our own cgroup /docker/gone was removed",
      ]
    `);
  });

  it('in a cgroup namespace our own cgroup is the root', () => {
    expect(mode(NAMESPACED)).toBe('unified');
    expect(summary(NAMESPACED)).toMatchInlineSnapshot(`
      [
        "v2 - -> /sys/fs/cgroup ro (0:27)",
      ]
    `);
  });

  it('finds none where none is mounted', () => {
    expect(mode(NONE)).toBe('none');
    expect(summary(NONE)).toMatchInlineSnapshot(`
      [
        "v2 - -> it is not mounted",
      ]
    `);
  });

  it('a host whose only v1 hierarchy is a named one is unified', () => {
    const named = '40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n';
    expect(mode({ mountinfo: UNIFIED.mountinfo + named, cgroup: `1:name=systemd:/x\n${UNIFIED.cgroup}` })).toBe('unified');
  });

  it('survives texts that are empty, cut or no such texts', () => {
    for (const broken of ['', '\n', 'x', '36 31', '36 31 0:30 / /a rw - cgroup', ' - cgroup', '1:2'])
      expect(parseHierarchies(broken, broken)).toEqual([]);
    expect(summary({ mountinfo: '36 31 0:30 / /a rw - cgroup', cgroup: '3:cpu:/\n' })).toEqual(['v1 cpu -> it is not mounted']);
  });
});
