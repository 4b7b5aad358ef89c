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

/** proc_pid_mountinfo(5): where something is mounted, and with which words. */
const hostMounts = (): { point: string; words: string }[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => {
      const [, , , , point = '', words = ''] = line.split(' ');
      return { point: point.replace(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))), words };
    });

const isBelow = (path: string, folder: string): boolean => folder === '/' || path.startsWith(`${folder}/`);

/** Whether anything is mounted below a path; false for one that is not there. */
export function hasMountsBelow(path: string): boolean {
  try {
    const real = realpathSync(path);
    return hostMounts().some(({ point }) => point !== '/' && isBelow(point, real));
  } catch {
    return false;
  }
}

/** The MS_* flags of the mount that a path is on. 0 for a path that is not there. */
export function hostMountFlags(path: string): number {
  let found = { length: -1, words: '' };
  try {
    const real = realpathSync(path);
    for (const { point, words } of hostMounts())
      if ((real === point || isBelow(real, point)) && point.length >= found.length) found = { length: point.length, words };
  } catch {
    return 0;
  }
  return found.words.split(',').reduce((flags, word) => flags | (WORDS[word] ?? 0), 0);
}
