// A bar for long work, on standard error, drawn over itself where it is a terminal and once a second where it is not.
import process from 'node:process';
import { mib } from './page.mjs';
import { paint } from './paint.mjs';

const WIDTH = 32;

/** Adds up what onProgress of a pull tells. */
export function pullProgress(what) {
  const terminal = process.stderr.isTTY === true;
  const done = new Map();
  let total = 0;
  let drawn = 0;
  const sum = () => [...done.values()].reduce((a, b) => a + b, 0);
  const draw = (force) => {
    const now = performance.now();
    if (!force && now - drawn < (terminal ? 80 : 1000)) return;
    drawn = now;
    const share = total > 0 ? Math.min(1, sum() / total) : 0;
    const bar = '█'.repeat(Math.round(share * WIDTH)).padEnd(WIDTH, '░');
    const line = `${what}  ${paint.cyan(bar)}  ${mib(sum())} of ${mib(total)}`;
    process.stderr.write(terminal ? `\r\x1b[K${line}` : `${line}\n`);
  };
  return {
    onProgress(p) {
      if (p.type === 'resolve') total = p.total ?? 0;
      if (p.type === 'download') done.set(p.digest, p.bytes);
      if (p.type === 'download' || p.type === 'resolve') draw(p.type === 'resolve');
    },
    /** Ends the line, when there was one. */
    end() {
      if (drawn === 0) return;
      draw(true);
      if (terminal) process.stderr.write('\n');
    },
  };
}
