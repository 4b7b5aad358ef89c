// OCI's words for mounts as the launcher takes them; what is not understood is refused.
import { describe, expect, it } from 'vitest';
import { defaultMounts } from './defaults.js';
import { toLauncherMount } from './mounts.js';

describe('toLauncherMount', () => {
  it('knows the default mounts', () =>
    expect(defaultMounts({ ownNetwork: true, cgroup2: true, terminalGroup: true }).map(toLauncherMount)).toMatchInlineSnapshot(`
      [
        {
          "nodev": true,
          "noexec": true,
          "nosuid": true,
          "readOnly": false,
          "target": "/proc",
          "type": "proc",
        },
        {
          "target": "/dev",
          "type": "dev",
        },
        {
          "nodev": false,
          "noexec": true,
          "nosuid": true,
          "readOnly": false,
          "target": "/dev/pts",
          "type": "devpts",
        },
        {
          "mode": 1023,
          "nodev": true,
          "noexec": true,
          "nosuid": true,
          "readOnly": false,
          "size": 67108864,
          "target": "/dev/shm",
          "type": "tmpfs",
        },
        {
          "nodev": true,
          "noexec": true,
          "nosuid": true,
          "readOnly": false,
          "target": "/dev/mqueue",
          "type": "mqueue",
        },
        {
          "nodev": true,
          "noexec": true,
          "nosuid": true,
          "readOnly": true,
          "target": "/sys",
          "type": "sysfs",
        },
        {
          "nodev": true,
          "noexec": true,
          "nosuid": true,
          "readOnly": true,
          "target": "/sys/fs/cgroup",
          "type": "cgroup",
        },
      ]
    `));

  it('binds /sys where the network is the host’s', () =>
    expect(defaultMounts({ ownNetwork: false, cgroup2: true, terminalGroup: true }).map(toLauncherMount).at(-1)).toMatchInlineSnapshot(`
      {
        "nodev": true,
        "noexec": true,
        "nosuid": true,
        "propagation": "private",
        "readOnly": true,
        "recursive": true,
        "source": "/sys",
        "target": "/sys",
        "type": "bind",
      }
    `));

  it('tells bind from rbind, and the kinds of propagation', () =>
    expect(toLauncherMount({ destination: '/a', source: '/b', options: ['bind', 'rslave', 'ro'] })).toMatchInlineSnapshot(`
      {
        "nodev": false,
        "noexec": false,
        "nosuid": false,
        "propagation": "slave",
        "readOnly": true,
        "recursive": false,
        "source": "/b",
        "target": "/a",
        "type": "bind",
      }
    `));

  it.each([
    [{ destination: '/a', type: 'nfs', source: 'x' }, 'the mount type "nfs" on /a'],
    [{ destination: '/a', type: 'tmpfs', options: ['colour=red'] }, 'the mount option "colour" on /a'],
    [{ destination: '/a', options: ['rbind'] }, 'expected "mounts[/a].source" to be given for a bind mount'],
  ])('refuses %o', (mount, message) => expect(() => toLauncherMount(mount)).toThrow(message));
});
