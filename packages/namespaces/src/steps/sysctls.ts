// Kernel parameters of the namespaces that are the process's own: /proc/sys.
import { type Arg, type Step, slot } from '@ctr/internal/steps';
import { AT_FDCWD, openFlags } from './flags.js';

const FILE = 'sysctl';

/** 'net.ipv4.ip_forward', or with slashes where a part has dots: 'net/ipv4/conf/eth0.1/forwarding' (sysctl(8)). */
export function sysctlPath(name: string): string {
  const separator = /[./]/.exec(name)?.[0];
  if (separator === '/') return name;
  return [...name].map((c) => (c === '.' ? '/' : c === '/' ? '.' : c)).join('');
}

/** Before the pivot, through the container's own procfs where it has one, which is still detached; else the host's. */
export function setSysctls(sysctls: Readonly<Record<string, string>>, proc: string | undefined): Step[] {
  return Object.entries(sysctls).flatMap(([name, value]): Step[] => {
    const doing = `set ${name} to ${JSON.stringify(value)}`;
    const file = `sys/${sysctlPath(name)}`;
    const path = `/proc/${file}`;
    const where: Arg[] = proc === undefined ? [AT_FDCWD, path] : [slot(proc), file];
    const bytes = Buffer.from(value);
    return [
      { call: 'openat', args: [...where, openFlags('O_WRONLY', 'O_CLOEXEC', 'O_NOFOLLOW')], into: FILE, doing, path },
      { call: 'write', args: [slot(FILE), { bytes, text: JSON.stringify(value) }, bytes.length], doing, path },
      { call: 'close', args: [slot(FILE)] },
    ];
  });
}
