// The `tty` option as OCI has it, and its one consequence: a program wants to know what terminal it is.
import type { ExecSpec } from '../options/run-schema.js';
import type { OciProcess } from './types.js';

/** `terminal` and `consoleSize` of the process. */
export function terminalFields(tty: ExecSpec['tty']): Pick<OciProcess, 'terminal' | 'consoleSize'> {
  return typeof tty === 'object' ? { terminal: true, consoleSize: { height: tty.rows, width: tty.columns } } : { terminal: tty ?? false };
}

/** TERM as Docker sets it, unless somebody said otherwise. */
export const withTerm = (env: string[], tty: ExecSpec['tty']): string[] =>
  !tty || env.some((entry) => entry.startsWith('TERM=')) ? env : [...env, 'TERM=xterm'];
