// A time namespace with other clocks. Its offsets can be written only as long as nobody is in it, and clone3(2) puts the
// child right into it: so the child makes it by unshare(2), writes, and enters.
// <https://man7.org/linux/man-pages/man7/time_namespaces.7.html>
import { named, type Step, slot } from '@ctr/internal/steps';
import { CLONE_FLAGS } from '../plan/clone-flags.js';
import { AT_FDCWD, openFlags } from '../steps/flags.js';

/** Seconds, with fractions, that are added to the host's clocks. */
export interface TimeOffsets {
  /** CLOCK_MONOTONIC; default 0. */
  monotonic?: number;
  /** CLOCK_BOOTTIME, which `uptime` shows; default 0. */
  boottime?: number;
}

const FILE = '/proc/self/timens_offsets';
const FLAG = named(CLONE_FLAGS['CLONE_NEWTIME'] as number, 'CLONE_NEWTIME');
const NANOSECONDS = 1e9;

/** '-1.25' -> '-2 750000000': the kernel wants the fraction to be positive. */
function offsetLine(clock: string, seconds: number): string {
  let whole = Math.floor(seconds);
  let nano = Math.round((seconds - whole) * NANOSECONDS);
  if (nano === NANOSECONDS) {
    whole += 1;
    nano = 0;
  }
  return `${clock} ${whole} ${nano}\n`;
}

const setDumpable = (value: 0 | 1, doing: string): Step => ({ call: 'prctl', args: [named(4, 'PR_SET_DUMPABLE'), value, 0, 0, 0], doing });

/** `asRoot`: the files of a process that is not dumpable are root's (proc(5)). */
export function enterTimeNamespace(offsets: TimeOffsets, asRoot: boolean): Step[] {
  const doing = 'set the clocks of the time namespace';
  const text = (['monotonic', 'boottime'] as const).flatMap((c) => (offsets[c] === undefined ? [] : [offsetLine(c, offsets[c])])).join('');
  const bytes = Buffer.from(text);
  return [
    { call: 'unshare', args: [FLAG], doing: 'make the time namespace' },
    ...(asRoot ? [] : [setDumpable(1, doing)]),
    { call: 'openat', args: [AT_FDCWD, FILE, openFlags('O_WRONLY', 'O_CLOEXEC')], into: 'timens', doing },
    ...(bytes.length === 0
      ? []
      : [{ call: 'write', args: [slot('timens'), { bytes, text: JSON.stringify(text) }, bytes.length], doing, path: FILE } as Step]),
    ...(asRoot ? [] : [setDumpable(0, doing)]),
    { call: 'openat', args: [AT_FDCWD, '/proc/self/ns/time_for_children', openFlags('O_RDONLY', 'O_CLOEXEC')], into: 'timens', doing },
    { call: 'setns', args: [slot('timens'), FLAG], doing: 'enter the time namespace' },
    { call: 'close', args: [slot('timens')] },
  ];
}
