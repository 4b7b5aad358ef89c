// bubblewrap: as little as it can do, and with what our container has (mounts, masks, capabilities, seccomp; no cgroups, no overlay).
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { find } from '../scratch.mjs';

const CAPS = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
];

export async function bwrap({ root, dir }) {
  const program = find('bwrap');
  if (program === undefined) return [{ name: 'bwrap', skip: 'not installed; on Debian: apt-get install bubblewrap' }];
  const own = ['--unshare-all', '--bind', root, '/', '--proc', '/proc', '--dev', '/dev'];
  return [
    { name: 'bwrap minimal', key: 'bwrap', args: [program, ...own, '/bin/stamp'] },
    { name: 'bwrap equal mounts', key: 'bwrapEqual', ...(await equal(program, own, dir)) },
  ];
}

/** Not every kernel has every file. */
const there = (...files) => files.filter((f) => existsSync(f));

async function equal(program, own, dir) {
  const filter = path.join(dir, 'filter.bpf');
  const { defaultSeccompFilter } = await import('@ctr/namespaces');
  writeFileSync(filter, defaultSeccompFilter(CAPS.map((c) => `CAP_${c}`)));
  const mounts = ['--tmpfs', '/dev/shm', '--mqueue', '/dev/mqueue', '--ro-bind', '/sys', '/sys'];
  const hidden = there('/proc/kcore', '/proc/keys', '/proc/timer_list').flatMap((f) => ['--ro-bind', '/dev/null', f]);
  const empty = there('/proc/acpi', '/proc/scsi', '/sys/firmware').flatMap((d) => ['--tmpfs', d, '--remount-ro', d]);
  const fixed = there('/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger').flatMap((f) => ['--ro-bind', f, f]);
  const caps = process.getuid() === 0 ? ['--cap-drop', 'ALL', ...CAPS.flatMap((c) => ['--cap-add', `CAP_${c}`])] : [];
  const rest = ['--hostname', 'bench', '--new-session', '--die-with-parent', '--clearenv', '--setenv', 'PATH', '/bin', '--chdir', '/'];
  return {
    args: [program, ...own, ...mounts, ...hidden, ...empty, ...fixed, ...caps, ...rest, '--seccomp', '10', '/bin/stamp'],
    file: filter,
  };
}
