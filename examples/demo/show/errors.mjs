// Errors as a person reads them: what was done, what failed, what to do. A stack only where it is our own mistake.
import process from 'node:process';
import { CtrError } from '@ctr/runtime';
import { paint } from './paint.mjs';

export function explainAndExit(error) {
  const text = error instanceof CtrError ? error.message : (error?.stack ?? String(error));
  process.stderr.write(`\n${paint.red('✗')} ${text}\n`);
  process.exitCode = 1;
}
