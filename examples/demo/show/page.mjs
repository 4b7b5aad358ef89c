// Headings, rows and tables of the tour.
import process from 'node:process';
import { paint } from './paint.mjs';

const WIDTH = 92;
const out = (line = '') => process.stdout.write(`${line}\n`);
let sections = 0;

export function title(text, below) {
  out(`\n  ${paint.bold(text)}\n  ${paint.dim(below)}`);
}

export function section(text) {
  sections += 1;
  const head = `${sections}  ${text} `;
  out(`\n${paint.bold(paint.cyan(head))}${paint.dim('─'.repeat(Math.max(3, WIDTH - head.length)))}`);
}

export const text = (line) => out(`   ${line}`);
export const note = (line) => out(`   ${paint.dim(line)}`);
export const good = (line) => out(`   ${paint.green('✓')} ${line}`);
export const bad = (line) => out(`   ${paint.yellow('–')} ${line}`);
export const row = (label, value) => out(`   ${paint.dim(label.padEnd(16))}${value}`);

/** Columns as wide as their longest cell; the first row is the heading. */
export function table(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((r) => String(r[i] ?? '').length)));
  rows.forEach((r, n) => {
    const line = r
      .map((cell, i) => String(cell ?? '').padEnd(widths[i]))
      .join('   ')
      .trimEnd();
    out(`   ${n === 0 ? paint.dim(line) : line}`);
  });
}

/** The program that runs inside, so that the reader can try it. */
export const code = (line) => out(`   ${paint.dim('$')} ${line}`);

export const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(bytes < 100 * 2 ** 20 ? 1 : 0)} MiB`;
export const ms = (n) => (n < 10 ? `${n.toFixed(1)} ms` : n < 1000 ? `${n.toFixed(0)} ms` : `${(n / 1000).toFixed(1)} s`);
