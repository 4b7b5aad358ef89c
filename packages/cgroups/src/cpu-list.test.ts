import { expect, it } from 'vitest';
import { isCpuList, parseCpuList } from './cpu-list.js';

it('knows a list of numbers and ranges', () => {
  for (const good of ['0', '0-3', '0-3,6', '7,1', '00', '65535']) expect(isCpuList(good), good).toBe(true);
  for (const bad of ['', '3-1', '0-', '-1', '1,', ',', '1e3', ' 0', '0\n', '65536', '0x1', '1-2-3', '0'.repeat(5000), '1,\0'])
    expect(isCpuList(bad), JSON.stringify(bad)).toBe(false);
});

it('takes a list apart, and the kernel’s empty list too', () => {
  expect([...parseCpuList('0-2,6\n')]).toEqual([0, 1, 2, 6]);
  expect([...parseCpuList('\n')]).toEqual([]);
});
