import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { errorOf } from './layer-error.js';

const native = fileURLToPath(new URL('../native/src/', import.meta.url));

/** Every word that native code gives as a reason. */
function reasons(): string[] {
  const found = new Set<string>();
  for (const name of readdirSync(native)) {
    const text = readFileSync(path.join(native, name), 'utf8');
    for (const m of text.matchAll(/(?:refuse\(|overLimit\(|ReadFailure\{)"([a-z-]+)"/g)) found.add(m[1] as string);
  }
  return [...found].sort();
}

it('has a sentence for every reason of the native code', () => {
  expect(reasons().length).toBeGreaterThan(40);
  for (const reason of reasons()) {
    const error = errorOf({ kind: 'layer-invalid', reason, entry: 'x' }, 'write');
    expect(error.message, reason).toMatch(/^write: (the entry "x"|the layer): .{10,}/);
    expect(error.message).not.toMatch(new RegExp(`: ${reason}$`));
  }
});

it('says what we were doing, which entry, and why', () => {
  expect(errorOf({ kind: 'layer-invalid', reason: 'leaves-layer', entry: 'a/../../b' }, 'write the layer "/l"')).toMatchObject({
    code: 'CTR_IMAGE_INVALID',
    message: 'write the layer "/l": the entry "a/../../b": its name contains ".."',
  });
  expect(errorOf({ kind: 'layer-limit', reason: 'entries', entry: '' }, 'write')).toMatchObject({ code: 'CTR_IMAGE_LIMIT' });
  expect(errorOf({ errno: -28, syscall: 'write', path: 'usr/x' }, 'write')).toMatchObject({ code: 'ENOSPC', path: 'usr/x' });
});

it('shows long and strange names short and in one line', () => {
  const { message } = errorOf({ kind: 'layer-invalid', reason: 'cut', entry: `a\n\x1b[2J${'x'.repeat(5000)}` }, 'write');
  expect(message).not.toMatch(/[\n\x1b]/);
  expect(message.length).toBeLessThan(400);
});

it('passes other errors on', () => {
  const error = new TypeError('x');
  expect(errorOf(error, 'write')).toBe(error);
});
