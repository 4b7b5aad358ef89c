// Colours where somebody looks, plain text elsewhere. See https://no-color.org
import process from 'node:process';

const coloured = process.stdout.isTTY === true && !process.env.NO_COLOR;
const code = (open) => (text) => (coloured ? `\x1b[${open}m${text}\x1b[0m` : String(text));

export const paint = { bold: code(1), dim: code(2), red: code(31), green: code(32), yellow: code(33), cyan: code(36) };
