// The `tty` option as steps: which devpts the terminal is made in, whose it is, and where it is shown.

import type { Step } from '@ctr/internal/steps';
import { keep } from '../steps/keep.js';
import { openTerminal, TTY_SOCKET } from '../steps/terminal.js';
import { sizeOf } from '../terminal/size.js';
import { mountSlot } from './mount-plan.js';
import type { ProgramOptions, SpawnOptions } from './options.js';
import { PIPE_PLACEHOLDER } from './placeholder.js';

/** The steps that make the terminal; its socket is noted among the descriptors that go along. */
export function terminalOf(o: ProgramOptions & Pick<SpawnOptions, 'mounts'>, fds: Record<string, number>): readonly Step[] {
  const size = sizeOf(o.tty);
  if (size === undefined) return [];
  fds[TTY_SOCKET] = PIPE_PLACEHOLDER;
  const at = o.mounts?.findLastIndex((m) => m.type === 'devpts') ?? -1;
  const options = {
    ...size,
    devpts: at < 0 ? undefined : mountSlot(at),
    uid: o.user !== undefined && o.user.uid !== 0 ? o.user.uid : undefined,
    console: o.mounts?.some((m) => m.type === 'dev') ?? false,
  };
  return keep(`terminal ${JSON.stringify(options)}`, () => openTerminal(options));
}
