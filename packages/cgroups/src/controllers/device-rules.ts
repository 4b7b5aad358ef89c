// Rules for device files: their text, their check, and what v1's controller can take of them.
import { type Check, fail, oneOf, shape, yesNo } from '../checks.js';

/**
 * One rule for device files. Rules are taken in order and the last one that speaks about a kind of access decides; what
 * no rule speaks about is denied.
 */
export interface DeviceRule {
  /** True lets it through, false refuses it with EPERM. */
  readonly allow: boolean;
  /** 'c': character devices, 'b': block devices, 'a': both. Default: 'a'. */
  readonly type?: 'a' | 'b' | 'c' | undefined;
  /** Default: every major number. */
  readonly major?: number | undefined;
  /** Default: every minor number. */
  readonly minor?: number | undefined;
  /** Any of r (read), w (write) and m (make with mknod). Default: 'rwm'. */
  readonly access?: string | undefined;
}

/** A rule with every field. */
export interface FullDeviceRule {
  readonly allow: boolean;
  readonly type: 'a' | 'b' | 'c';
  readonly major: number | null;
  readonly minor: number | null;
  /** In the order r, w, m. */
  readonly access: string;
}

/**
 * SECURITY: an allow list, so that a device nobody thought of is denied. A device file may be made ('m') of any number,
 * as images hold them; to open it is another matter.
 */
export const DEFAULT_DEVICE_RULES: readonly string[] = [
  'c *:* m',
  'b *:* m',
  'c 1:3 rwm', // null
  'c 1:5 rwm', // zero
  'c 1:7 rwm', // full
  'c 1:8 rwm', // random
  'c 1:9 rwm', // urandom
  'c 5:0 rwm', // tty
  'c 5:1 rwm', // console
  'c 5:2 rwm', // ptmx
  'c 136:* rwm', // pts
];

const TEXT = /^([abc]) (\d{1,4}|\*):(\d{1,7}|\*) ([rwm]{1,3})$/;

const number = (text: string | undefined): number | null => (text === undefined || text === '*' ? null : Number(text));

const ordered = (access: string): string => [...'rwm'].filter((x) => access.includes(x)).join('');

/** Reads a rule in the kernel's and Docker's words, such as 'c 1:3 rwm'. */
export function parseDeviceRule(text: string, allow = true, path = 'rule'): FullDeviceRule {
  const m = TEXT.exec(text);
  if (m === null) return fail(path, 'a rule such as "c 1:3 rwm" or "b *:* m"', text);
  const [, type, major, minor, access = ''] = m;
  return { allow, type: type as 'a' | 'b' | 'c', major: number(major), minor: number(minor), access: ordered(access) };
}

/** 'c 1:3 rwm'. */
export const formatDeviceRule = (r: FullDeviceRule): string => `${r.type} ${r.major ?? '*'}:${r.minor ?? '*'} ${r.access}`;

const upTo =
  (max: number): Check =>
  (v, path) => {
    if (typeof v !== 'number' || !Number.isSafeInteger(v) || v < 0 || v > max) fail(path, `a number from 0 to ${max}`, v);
  };

const ACCESS: Check = (v, path) => {
  if (typeof v !== 'string' || !/^[rwm]{1,3}$/.test(v) || new Set(v).size !== v.length) fail(path, 'letters of "rwm", each once', v);
};

/** KERNEL: 12 bits of major and 20 of minor number (MKDEV). */
const checkRule = shape(
  'a rule for devices',
  { allow: yesNo, type: oneOf('a', 'b', 'c'), major: upTo(4095), minor: upTo(1_048_575), access: ACCESS },
  ['allow'],
);

/** 'default', 'all' or a list of rules; see {@link DeviceRule}. */
export const devicesOption: Check = (v, path) => {
  if (v === 'default' || v === 'all') return;
  if (!Array.isArray(v)) fail(path, '"default", "all" or a list of rules', v);
  // Each rule is a few instructions of a program that the kernel walks at every open.
  if (v.length > 500) fail(path, 'at most 500 rules', v);
  for (const [i, rule] of v.entries()) checkRule(rule, `${path}[${i}]`);
};

/** Every field filled in. */
export function fullRules(devices: 'default' | readonly DeviceRule[]): FullDeviceRule[] {
  if (devices === 'default') return DEFAULT_DEVICE_RULES.map((r) => parseDeviceRule(r));
  return devices.map((r) => ({
    allow: r.allow,
    type: r.type ?? 'a',
    major: r.major ?? null,
    minor: r.minor ?? null,
    access: ordered(r.access ?? 'rwm'),
  }));
}

/** A write to devices.allow or devices.deny. */
export interface DeviceWrite {
  readonly file: 'devices.allow' | 'devices.deny';
  readonly value: string;
}

const isAll = (r: FullDeviceRule): boolean => r.type === 'a' && r.major === null && r.minor === null && r.access === 'rwm';

/** v1 knows 'a' only for everything at once. */
const byType = (r: FullDeviceRule): FullDeviceRule[] =>
  r.type !== 'a'
    ? [r]
    : [
        { ...r, type: 'b' },
        { ...r, type: 'c' },
      ];

const within = (inner: number | null, outer: number | null): boolean => outer === null || inner === outer;
const overlaps = (a: number | null, b: number | null): boolean => a === null || b === null || a === b;

/** The access that both speak about, of a device that both speak about. */
const common = (r: FullDeviceRule, x: FullDeviceRule): string =>
  x.type === r.type && overlaps(r.major, x.major) && overlaps(r.minor, x.minor)
    ? [...x.access].filter((a) => r.access.includes(a)).join('')
    : '';

/** Whether `r` speaks about all that `x` does, so that v1 can be told to drop that very exception. */
const covers = (r: FullDeviceRule, x: FullDeviceRule): boolean => within(x.major, r.major) && within(x.minor, r.minor);

/** v1's memory while rules are taken in order: everything or nothing, and the exceptions from it. */
class Exceptions {
  allowed = false;
  readonly writes: DeviceWrite[] = [{ file: 'devices.deny', value: 'a' }];
  #list: FullDeviceRule[] = [];

  /** False when v1 cannot say it. */
  take(r: FullDeviceRule): boolean {
    if (isAll(r)) return this.#all(r.allow);
    return byType(r).every((x) => (x.allow === this.allowed ? this.#drop(x) : this.#add(x)));
  }

  #all(allow: boolean): boolean {
    this.allowed = allow;
    this.#list = [];
    this.writes.push({ file: allow ? 'devices.allow' : 'devices.deny', value: 'a' });
    return true;
  }

  #write(r: FullDeviceRule): void {
    this.writes.push({ file: r.allow ? 'devices.allow' : 'devices.deny', value: formatDeviceRule(r) });
  }

  #add(r: FullDeviceRule): boolean {
    this.#list.push(r);
    this.#write(r);
    return true;
  }

  #drop(r: FullDeviceRule): boolean {
    const left: FullDeviceRule[] = [];
    for (const x of this.#list) {
      const dropped = common(r, x);
      if (dropped !== '' && !covers(r, x)) return false;
      if (dropped !== '') this.#write({ ...x, allow: r.allow, access: dropped });
      const rest = [...x.access].filter((a) => !dropped.includes(a)).join('');
      if (rest !== '') left.push({ ...x, access: rest });
    }
    this.#list = left;
    return true;
  }
}

/**
 * The writes that give a v1 cgroup these rules; null when v1 cannot say them, as "all of major 8 but 8:0": its
 * controller keeps a default and exceptions from it, and none from those. See cgroup-v1/devices.rst.
 */
export function devicesV1(rules: readonly FullDeviceRule[]): DeviceWrite[] | null {
  const state = new Exceptions();
  return rules.every((r) => state.take(r)) ? state.writes : null;
}
