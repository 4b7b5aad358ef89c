// With which flags the host's mounts are: mount(2) sets all anew when one is changed, and a user namespace may take none off.
import { readFileSync, realpathSync } from 'node:fs';

const WORDS: Readonly<Record<string, number>> = {
  ro: 1,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  noatime: 0x400,
  nodiratime: 0x800,
  nosymfollow: 0x100,
};

/** The MS_* flags of the mount that a path is on; proc_pid_mountinfo(5). 0 for a path that is not there. */
export function hostMountFlags(path: string): number {
  let found = { length: -1, words: '' };
  try {
    const real = realpathSync(path);
    for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
      const [, , , , point = '', words = ''] = line.split(' ');
      const plain = point.replace(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
      const on = plain === '/' || real === plain || real.startsWith(`${plain}/`);
      if (on && plain.length >= found.length) found = { length: plain.length, words };
    }
  } catch {
    return 0;
  }
  return found.words.split(',').reduce((flags, word) => flags | (WORDS[word] ?? 0), 0);
}
