// A sandbox of one's own from the leaf packages, without @ctr/runtime: runs a command that sees this machine's files and
// can change none, that has a /tmp of its own, no network, no capabilities, and as little memory as it is given.
// node index.mjs COMMAND…
import { canEnforce, describeCgroup, openParent, parseCollected } from '@ctr/cgroups';
import { defaultSeccompFilter, spawn } from '@ctr/namespaces';
import { describeBindRoot } from '@ctr/overlayfs';

const demo = ['sh', '-c', 'echo "process $$, $(id -un)"; touch /etc/x; touch /tmp/x && echo "/tmp is mine: $(ls /tmp)"; ls /sys/class/net'];
const args = process.argv.length > 2 ? process.argv.slice(2) : demo;
const limits = { memory: 256 * 2 ** 20, pids: 64 };

const parent = await openParent('jail-example');
const cgroup = describeCgroup(parent, `jail-${process.pid}`, canEnforce(parent, limits).ok ? limits : {});
const child = await spawn({
  args,
  env: { PATH: process.env.PATH ?? '/usr/bin:/bin' },
  namespaces: { pid: 'new', mount: 'new', network: 'new', ipc: 'new', uts: 'new', user: process.geteuid() === 0 ? 'host' : 'new' },
  root: describeBindRoot('/', { readOnly: true }),
  mounts: ['proc', 'sysfs', 'dev', 'tmpfs'].map((type, i) => ({ type, target: ['/proc', '/sys', '/dev', '/tmp'][i] })),
  capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
  seccomp: defaultSeccompFilter([]),
  noNewPrivileges: true,
  stdio: ['inherit', 'inherit', 'inherit'],
  cgroup,
});
const exit = await child.exited;
await child.cleaned;
await parent.remove();
const peak = parseCollected(exit.files, cgroup.directories).memoryPeakBytes;
console.log(`exit code ${exit.exitCode}${peak === null ? '' : `, ${peak} bytes of memory at most`}`);
process.exitCode = exit.exitCode ?? 1;
