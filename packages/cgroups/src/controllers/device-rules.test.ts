// Rules as text, as v1's writes, and as a program: all three say the same.
import { endianness } from 'node:os';
import { describe, expect, it } from 'vitest';
import { compileDevices } from './device-program.js';
import {
  DEFAULT_DEVICE_RULES,
  type DeviceRule,
  type DeviceWrite,
  devicesV1,
  type FullDeviceRule,
  formatDeviceRule,
  fullRules,
  parseDeviceRule,
} from './device-rules.js';

interface Access {
  readonly type: 'b' | 'c';
  readonly major: number;
  readonly minor: number;
  readonly access: string;
}

/** What the rules mean, letter by letter. */
function meant(rules: readonly FullDeviceRule[], a: Access): boolean {
  const about = (r: FullDeviceRule): boolean =>
    (r.type === 'a' || r.type === a.type) && (r.major ?? a.major) === a.major && (r.minor ?? a.minor) === a.minor;
  return [...a.access].every((x) => rules.filter((r) => about(r) && r.access.includes(x)).at(-1)?.allow ?? false);
}

/** Runs the program as the kernel's interpreter does, for the instructions that it is made of. */
function run(program: Uint8Array, a: Access): boolean {
  const view = new DataView(program.buffer);
  const little = endianness() === 'LE';
  const bits = [...a.access].reduce((n, x) => n | ({ m: 1, r: 2, w: 4 }[x] ?? 0), 0);
  const context = [(bits << 16) | (a.type === 'b' ? 1 : 2), a.major, a.minor];
  const r = new Array<number>(10).fill(0);
  for (let pc = 0; pc < program.length / 8; pc += 1) {
    const registers = view.getUint8(pc * 8 + 1);
    const [to, from] = little ? [registers & 15, registers >> 4] : [registers >> 4, registers & 15];
    const offset = view.getInt16(pc * 8 + 2, little);
    const value = view.getInt32(pc * 8 + 4, little);
    const code = view.getUint8(pc * 8);
    if (code === 0x61) r[to] = context[offset / 4] ?? 0;
    else if (code === 0x54) r[to] = (r[to] ?? 0) & value;
    else if (code === 0x74) r[to] = (r[to] ?? 0) >>> value;
    else if (code === 0xbc) r[to] = r[from] ?? 0;
    else if (code === 0xb4) r[to] = value;
    else if (code === 0x56) pc += r[to] === value ? 0 : offset;
    else if (code === 0x16) pc += r[to] === value ? offset : 0;
    else if (code === 0x95) return r[0] === 1;
    else throw new Error(`no such instruction: ${code.toString(16)}`);
  }
  throw new Error('the program has no end');
}

/** v1's controller, by the letter of security/device_cgroup.c: a default and exceptions, dropped by equal numbers only. */
function runV1(writes: readonly DeviceWrite[], a: Access): boolean {
  let allowed = true;
  let exceptions: FullDeviceRule[] = [];
  for (const { file, value } of writes) {
    const allow = file === 'devices.allow';
    if (value === 'a') {
      allowed = allow;
      exceptions = [];
      continue;
    }
    const rule = parseDeviceRule(value, allow);
    if (allow !== allowed) exceptions.push(rule);
    else
      exceptions = exceptions.flatMap((x) => {
        if (x.type !== rule.type || x.major !== rule.major || x.minor !== rule.minor) return [x];
        const access = [...x.access].filter((y) => !rule.access.includes(y)).join('');
        return access === '' ? [] : [{ ...x, access }];
      });
  }
  const about = exceptions.filter((x) => x.type === a.type && (x.major ?? a.major) === a.major && (x.minor ?? a.minor) === a.minor);
  // One exception has to cover all of the access to allow it; any touch of one denies it.
  return allowed
    ? !about.some((x) => [...a.access].some((y) => x.access.includes(y)))
    : about.some((x) => [...a.access].every((y) => x.access.includes(y)));
}

const accesses: Access[] = (['b', 'c'] as const).flatMap((type) =>
  [1, 8].flatMap((major) => [0, 3].flatMap((minor) => ['r', 'w', 'm'].map((access) => ({ type, major, minor, access })))),
);

const many = accesses.flatMap((x) => [x, { ...x, access: 'rw' }, { ...x, access: 'rwm' }]);

const shown = (rules: readonly FullDeviceRule[]): string => rules.map((r) => `${r.allow ? '+' : '-'}${formatDeviceRule(r)}`).join(', ');

/** A small linear congruential generator: failures can be repeated. */
function* chance(seed: number): Generator<number, never> {
  let n = seed;
  for (;;) {
    n = (n * 1_103_515_245 + 12_345) % 2_147_483_648;
    yield n >> 8;
  }
}

function someRules(seed: number): DeviceRule[] {
  const dice = chance(seed);
  const pick = <T>(...of: T[]): T => of[dice.next().value % of.length] as T;
  return Array.from({ length: 1 + (dice.next().value % 5) }, () => ({
    allow: pick(true, false),
    type: pick('a', 'b', 'c', 'c'),
    major: pick(undefined, 1, 8),
    minor: pick(undefined, 0, 3),
    access: pick('rwm', 'r', 'rw', 'm', 'wm'),
  }));
}

describe('device rules', () => {
  it('are read and written in the kernel’s words', () => {
    for (const text of [...DEFAULT_DEVICE_RULES, 'a *:* rwm', 'b 8:* r']) expect(formatDeviceRule(parseDeviceRule(text))).toBe(text);
    for (const bad of ['', 'c 1:3', 'c 1:3 x', 'd 1:3 r', 'c 1:3 rwm\n', 'c -1:3 r', 'c 1:3  r'])
      expect(() => parseDeviceRule(bad), bad).toThrow('a rule such as');
  });

  it('the default allows null and refuses kmsg and disks, though their nodes may be made', () => {
    const program = compileDevices(fullRules('default'));
    expect(run(program, { type: 'c', major: 1, minor: 3, access: 'rw' })).toBe(true);
    expect(run(program, { type: 'c', major: 1, minor: 11, access: 'r' })).toBe(false);
    expect(run(program, { type: 'b', major: 8, minor: 0, access: 'm' })).toBe(true);
    expect(run(program, { type: 'b', major: 8, minor: 0, access: 'r' })).toBe(false);
    expect(run(program, { type: 'c', major: 136, minor: 7, access: 'rwm' })).toBe(true);
  });

  it('as a program mean what they say, whatever they are', () => {
    for (let seed = 0; seed < 2000; seed += 1) {
      const rules = fullRules(someRules(seed));
      const program = compileDevices(rules);
      const wrong = many.filter((a) => run(program, a) !== meant(rules, a));
      if (wrong.length > 0) expect.fail(`${seed}: ${shown(rules)}: ${JSON.stringify(wrong)}`);
    }
  });

  it('as writes to v1 mean the same, or are refused', () => {
    let sayable = 0;
    for (let seed = 0; seed < 2000; seed += 1) {
      const rules = fullRules(someRules(seed));
      const writes = devicesV1(rules);
      if (writes === null) continue;
      sayable += 1;
      const wrong = accesses.filter((a) => runV1(writes, a) !== meant(rules, a));
      if (wrong.length > 0) expect.fail(`${seed}: ${shown(rules)}: ${JSON.stringify(wrong)}`);
    }
    expect(sayable).toBeGreaterThan(500);
  });

  it('v1 cannot take a part of a wildcard back', () => {
    const all: DeviceRule = { allow: true, type: 'b', major: 8 };
    expect(devicesV1(fullRules([all, { allow: false, type: 'b', major: 8, minor: 0 }]))).toBeNull();
    expect(devicesV1(fullRules([all, { allow: false, type: 'b' }]))).toEqual([
      { file: 'devices.deny', value: 'a' },
      { file: 'devices.allow', value: 'b 8:* rwm' },
      { file: 'devices.deny', value: 'b 8:* rwm' },
    ]);
  });
});
