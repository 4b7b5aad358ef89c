// Fixed inputs for the unit tests of compiling: a host, a user, an image.
import type { ResolvedUser } from '../user/resolve-user.js';
import type { HostFacts } from './host-facts.js';

export const ROOT_HOST: HostFacts = {
  uid: 0,
  gid: 0,
  privileged: true,
  initialUserNamespace: true,
  capabilities: [
    'CAP_CHOWN',
    'CAP_DAC_OVERRIDE',
    'CAP_FOWNER',
    'CAP_FSETID',
    'CAP_KILL',
    'CAP_SETGID',
    'CAP_SETUID',
    'CAP_SETPCAP',
    'CAP_NET_BIND_SERVICE',
    'CAP_NET_RAW',
    'CAP_SYS_CHROOT',
    'CAP_SYS_ADMIN',
    'CAP_MKNOD',
    'CAP_AUDIT_WRITE',
    'CAP_SETFCAP',
  ],
  hardLimits: { nofile: 1_048_576, memlock: 8_388_608 },
  memoryUpper: true,
  controllers: { cpu: 1, cpuacct: 1, cpuset: 1, memory: 1, devices: 1, pids: 1 },
  cgroup2: true,
}; // prettier-ignore

export const USER_HOST: HostFacts = { ...ROOT_HOST, uid: 1000, gid: 1000, privileged: false, controllers: {} };

export const ROOT_USER: ResolvedUser = { uid: 0, gid: 0, groups: [], home: '/root', umask: 0o022 };

export const ID = '0123456789abcdef0123456789abcdef';
