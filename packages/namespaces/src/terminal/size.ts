// How large a terminal is.
import { InvalidArgumentError } from '@ctr/internal/errors';

/** Characters in a line, and lines: 1 to 65535 each. */
export interface TerminalSize {
  columns: number;
  rows: number;
}

/** What a terminal was when it was made of glass, and what programs expect when nothing is known. */
export const DEFAULT_SIZE: TerminalSize = { columns: 80, rows: 24 };

const MOST = 65_535;

/** @throws InvalidArgumentError */
export function checkSize(size: TerminalSize, path: string): void {
  for (const key of ['columns', 'rows'] as const) {
    const value = size[key];
    if (!Number.isInteger(value) || value < 1 || value > MOST)
      throw new InvalidArgumentError(path === '' ? key : `${path}.${key}`, `an integer from 1 to ${MOST}`, value);
  }
}

/** The size that an option asks for; `undefined`: no terminal. */
export const sizeOf = (tty: boolean | TerminalSize | undefined): TerminalSize | undefined =>
  tty === true ? DEFAULT_SIZE : tty === false ? undefined : tty;
