// A new network namespace with `lo` up, made ahead where that may be: netdevice(7), SIOCSIFFLAGS; sockios.h, SIOCGSKNS.
import { named, type Step, slot } from '@ctr/internal/steps';
import { CLONE_FLAGS } from '../plan/clone-flags.js';
import { keep } from './keep.js';

const IFF_UP = 1;
const SIOCGSKNS = named(0x894c, 'SIOCGSKNS');
const CLONE_NEWNET = named(CLONE_FLAGS['CLONE_NEWNET'] as number, 'CLONE_NEWNET');
const SPARE = 'spare network';

const doing = 'bring up the loopback interface';

/** `lo` set up through a socket in slot `lo`. */
function raise(): Step[] {
  // struct ifreq: 16 bytes of name, then the flags.
  const request = Buffer.alloc(40);
  request.write('lo', 0);
  request.writeInt16LE(IFF_UP, 16);
  return [
    { call: 'socket', args: [named(2, 'AF_INET'), named(0x80002, 'SOCK_DGRAM|SOCK_CLOEXEC'), 0], into: 'lo', doing },
    { call: 'ioctl', args: [slot('lo'), named(0x8914, 'SIOCSIFFLAGS'), { bytes: request, text: '{lo, IFF_UP}' }], doing },
  ];
}

const make: Step = { call: 'unshare', args: [CLONE_NEWNET], doing: 'make its network namespace' };
const done: Step = { call: 'close', args: [slot('lo')] };

export const raiseLoopback = (): readonly Step[] => keep('loopback', () => [...raise(), done]);

/** Joins the namespace that was made ahead; where there is none, or it may not be joined, one is made here. */
export const takeNetwork = (): readonly Step[] =>
  keep('take network', () => {
    const fresh = [make, ...raise(), done];
    const take: Step = {
      call: 'setns',
      args: [slot(SPARE), CLONE_NEWNET],
      allow: ['EBADF', 'EPERM'],
      skipOnSuccess: fresh.length,
      doing: 'take the network namespace that was made ahead',
    };
    return [take, ...fresh];
  });

/** For the next one: its descriptor keeps it, without a process. */
export const spareNetwork = {
  key: 1,
  get steps(): readonly Step[] {
    return keep('spare network', () => [make, ...raise(), { call: 'ioctl', args: [slot('lo'), SIOCGSKNS], into: SPARE }, done]);
  },
};
