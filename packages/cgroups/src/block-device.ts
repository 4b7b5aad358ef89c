// Block devices by path or number, as the io controllers want them: a whole disk that is there.
import { existsSync, type Stats, statSync } from 'node:fs';
import { type Check, fail } from './checks.js';

const NUMBER = /^(\d{1,4}):(\d{1,7})$/;

/** makedev(3) taken apart, for st_rdev. */
export const majorOf = (dev: number): number => Number(((BigInt(dev) >> 8n) & 0xfffn) | ((BigInt(dev) >> 32n) & 0xfffff000n));
export const minorOf = (dev: number): number => Number((BigInt(dev) & 0xffn) | ((BigInt(dev) >> 12n) & 0xffffff00n));

function statOf(file: string, path: string): Stats {
  try {
    return statSync(file);
  } catch {
    return fail(path, 'a block device that is there', file);
  }
}

/** '8:0' for '8:0' and for '/dev/sda'. */
export function blockDeviceNumber(device: string): string {
  if (NUMBER.test(device)) return device;
  const { rdev } = statSync(device);
  return `${majorOf(rdev)}:${minorOf(rdev)}`;
}

/** KERNEL: limits of a partition are refused with ENODEV (blkg_conf_open_bdev), and so are devices that are not there. */
export const blockDevice: Check = (v, path) => {
  if (typeof v !== 'string' || !(NUMBER.test(v) || (v.startsWith('/') && !/[\0\n]/.test(v))))
    fail(path, 'a block device such as "/dev/sda" or "8:0"', v);
  if (!NUMBER.test(v) && !statOf(v, path).isBlockDevice()) fail(path, 'a block device', v);
  const sys = '/sys/dev/block';
  if (!existsSync(sys)) return;
  const entry = `${sys}/${blockDeviceNumber(v)}`;
  if (!existsSync(entry)) fail(path, 'a block device that is there', v);
  if (existsSync(`${entry}/partition`)) fail(path, 'a whole disk, not a partition of one', v);
};
