// OCI's words for mounts as the launcher takes them; what is not understood is refused.
import { describe, expect, it } from 'vitest';
import { defaultMounts } from './defaults.js';
import { toLauncherMount } from './mounts.js';

describe('toLauncherMount', () => {
  it('knows the default mounts', () =>
    expect(defaultMounts({ ownNetwork: true, cgroup2: true, terminalGroup: true }).map(toLauncherMount)).toMatchInlineSnapshot(`
      [
        {
          "nodev": false,
          "noexec": false,
          "nosuid": false,
          "options": [
            "nosuid",
            "noexec",
            "nodev",
          ],
          "readOnly": false,
          "target": "/proc",
          "type": "proc",
        },
        {
          "options": [
            "nosuid",
            "strictatime",
            "mode=755",
            "size=65536k",
          ],
          "target": "/dev",
          "type": "dev",
        },
        {
          "nodev": false,
          "noexec": false,
          "nosuid": false,
          "options": [
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
          ],
          "readOnly": false,
          "target": "/dev/pts",
          "type": "devpts",
        },
        {
          "nodev": false,
          "noexec": false,
          "nosuid": false,
          "options": [
            "nosuid",
            "noexec",
            "nodev",
            "mode=1777",
            "size=65536k",
          ],
          "readOnly": false,
          "target": "/dev/shm",
          "type": "tmpfs",
        },
        {
          "nodev": false,
          "noexec": false,
          "nosuid": false,
          "options": [
            "nosuid",
            "noexec",
            "nodev",
          ],
          "readOnly": false,
          "target": "/dev/mqueue",
          "type": "mqueue",
        },
        {
          "nodev": false,
          "noexec": false,
          "nosuid": false,
          "options": [
            "nosuid",
            "noexec",
            "nodev",
            "ro",
          ],
          "readOnly": false,
          "target": "/sys",
          "type": "sysfs",
        },
        {
          "nodev": false,
          "noexec": false,
          "nosuid": false,
          "options": [
            "nosuid",
            "noexec",
            "nodev",
            "ro",
          ],
          "readOnly": false,
          "target": "/sys/fs/cgroup",
          "type": "cgroup",
        },
      ]
    `));

  it('binds /sys where the network is the host’s', () =>
    expect(defaultMounts({ ownNetwork: false, cgroup2: true, terminalGroup: true }).map(toLauncherMount).at(-1)).toMatchInlineSnapshot(`
      {
        "options": [
          "rbind",
          "rprivate",
          "rnosuid",
          "rnoexec",
          "rnodev",
          "rro",
        ],
        "recursive": false,
        "source": "/sys",
        "target": "/sys",
        "type": "bind",
      }
    `));

  it('tells bind from rbind, and the kinds of propagation', () =>
    expect(toLauncherMount({ destination: '/a', source: '/b', options: ['bind', 'rslave', 'ro'] })).toMatchInlineSnapshot(`
      {
        "options": [
          "bind",
          "rslave",
          "ro",
        ],
        "recursive": false,
        "source": "/b",
        "target": "/a",
        "type": "bind",
      }
    `));

  it('hands the words on in their order, but for those that no bind has', () => {
    const words = ['rbind', 'nosuid', 'suid', 'strictatime', 'silent', 'defaults', 'size=1'];
    expect(toLauncherMount({ destination: '/a', source: '/b', options: ['sync', 'dirsync', ...words, 'lazytime', 'mand'] })).toMatchObject({
      type: 'bind',
      options: words,
    });
    expect(toLauncherMount({ destination: '/a', type: 'tmpfs', options: ['sync', 'inode64'] })).toMatchObject({
      options: ['sync', 'inode64'],
      nosuid: false,
    });
  });

  it('takes every other type for the name of a file system', () =>
    expect(toLauncherMount({ destination: '/a', type: 'cgroup2', source: 'x', options: ['ro'] })).toEqual({
      type: 'filesystem',
      fileSystem: 'cgroup2',
      target: '/a',
      source: 'x',
      readOnly: false,
      nosuid: false,
      nodev: false,
      noexec: false,
      options: ['ro'],
    }));

  it('refuses a bind of nothing', () =>
    expect(() => toLauncherMount({ destination: '/a', options: ['rbind'] })).toThrow(
      'expected "mounts[/a].source" to be given for a bind mount',
    ));
});
