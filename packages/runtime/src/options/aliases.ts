// Words of Docker, of compose, of node:child_process and of other libraries -> the option that is meant.
// A text with a space is a sentence for the hint. Keys are in lower case, and without - or _.
import type { Aliases } from './schema.js';

const PROCESS_ALIASES: Aliases = {
  workdir: 'cwd',
  workingdir: 'cwd',
  environment: 'env',
  envs: 'env',
  uid: 'user',
  timeoutms: 'timeout',
  abortsignal: 'signal',
  cancelsignal: 'signal',
  stdio: 'the three streams have an option each: stdin, stdout, stderr',
  terminal: 'tty',
  consolesize: 'tty',
  shell: 'say which shell: command: ["sh", "-c", "…"]',
};

export const EXEC_ALIASES: Aliases = PROCESS_ALIASES;

export const RUN_ALIASES: Aliases = {
  ...PROCESS_ALIASES,
  cmd: 'command',
  args: 'command',
  argv: 'command',
  memory: 'limits go into "resources", such as resources: { memory: "512m" }',
  cpus: 'limits go into "resources", such as resources: { cpus: 0.5 }',
  pids: 'limits go into "resources", such as resources: { pids: 128 }',
  pidslimit: 'limits go into "resources", such as resources: { pids: 128 }',
  limits: 'resources',
  volumes: 'folders of the host go into "mounts", such as { type: "bind", source: "/data", target: "/data" }',
  binds: 'folders of the host go into "mounts", such as { type: "bind", source: "/data", target: "/data" }',
  capadd: 'capabilities go into "capabilities", such as capabilities: { add: ["NET_ADMIN"] }',
  capdrop: 'capabilities go into "capabilities", such as capabilities: { drop: "all" }',
  securityopt: 'see "seccomp", "noNewPrivileges", "maskedPaths"',
  privileged: 'there is no such switch: say what is needed by "capabilities", "seccomp", "maskedPaths", "mounts"',
  detached: 'detached containers are not supported yet: a container ends with this process',
  detach: 'detached containers are not supported yet: a container ends with this process',
  restart: 'restart policies are not supported yet',
  rm: 'nothing of a container remains in any case',
  remove: 'nothing of a container remains in any case',
  autoremove: 'nothing of a container remains in any case',
  ports: 'publishing ports is not supported yet: network is "none" or "host"',
  publish: 'publishing ports is not supported yet: network is "none" or "host"',
  net: 'network',
  networkmode: 'network',
  healthcheck: 'health checks are not supported yet',
  sysctl: 'sysctls',
  storageopt: 'the size of the writable layer goes into "writable", such as writable: { on: "disk", size: "10g" }',
  devices: 'devices are not supported yet; resources.devices loosens the device rules',
  readonlyrootfs: 'readOnly',
  usernsmode: 'userns',
  pidmode: 'namespaces',
  ipcmode: 'namespaces',
  shmsize: 'mount one yourself: tmpfs: { "/dev/shm": "1g" }',
};
