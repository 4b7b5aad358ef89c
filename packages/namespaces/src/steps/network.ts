// `lo` up in a new network namespace: netdevice(7), SIOCSIFFLAGS.
import { named, type Step, slot } from '@ctr/internal/steps';
import { keep } from './keep.js';

const IFF_UP = 1;

export function raiseLoopback(): readonly Step[] {
  return keep('loopback', () => {
    const doing = 'bring up the loopback interface';
    // struct ifreq: 16 bytes of name, then the flags.
    const request = Buffer.alloc(40);
    request.write('lo', 0);
    request.writeInt16LE(IFF_UP, 16);
    return [
      { call: 'socket', args: [named(2, 'AF_INET'), named(0x80002, 'SOCK_DGRAM|SOCK_CLOEXEC'), 0], into: 'lo', doing },
      { call: 'ioctl', args: [slot('lo'), named(0x8914, 'SIOCSIFFLAGS'), { bytes: request, text: '{lo, IFF_UP}' }], doing },
      { call: 'close', args: [slot('lo')] },
    ];
  });
}
