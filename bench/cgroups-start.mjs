// Under strace: one start in a cgroup of the given name, in a session that has had one before; "unread" when its statistics are not read at
// its end; of all controllers, or of those named.
import { describeCgroup, openParent } from '@ctr/cgroups';
import { spawn } from '@ctr/namespaces';

const [, , name, root, reading, controllers] = process.argv;
const limits = { memory: 64 << 20, cpus: 0.5, pids: 20, cpusetCpus: '0' };
const parent = await openParent(`ctr-bench-s-${process.pid}`, { controllers: controllers?.split(',') });
try {
  for (const n of ['warm', name]) {
    const cgroup = describeCgroup(parent, n, limits);
    const child = await spawn({
      args: [`${root}/bin/stamp`],
      cgroup: reading === 'unread' ? { ...cgroup, collect: [] } : cgroup,
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    await child.exited;
    await child.cleaned;
  }
} finally {
  await parent.remove();
}
