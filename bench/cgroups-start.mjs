// Under strace: one start in a cgroup of the given name, in a session that has had one before.
import { describeCgroup, openParent } from '@ctr/cgroups';
import { spawn } from '@ctr/namespaces';

const [, , name, root] = process.argv;
const limits = { memory: 64 << 20, cpus: 0.5, pids: 20, cpusetCpus: '0' };
const parent = await openParent(`ctr-bench-s-${process.pid}`);
try {
  for (const n of ['warm', name]) {
    const child = await spawn({
      args: [`${root}/bin/stamp`],
      cgroup: describeCgroup(parent, n, limits),
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    await child.exited;
    await child.cleaned;
  }
} finally {
  await parent.remove();
}
