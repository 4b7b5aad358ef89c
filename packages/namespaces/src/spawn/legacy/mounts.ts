// The new mount API by the old one. What was a detached mount in a slot is a mount on a stage: a small tmpfs in the process's own
// mount namespace, out of which it is moved to its place. So the host's mounts stay as they are, here too.
//
// What is lost: attributes for mounts below, where there are any, and a mount by descriptor or with other ids, or one that is to travel, cannot be had.
import { UnsupportedError } from '@ctr/internal/errors';
import { type Arg, type Bytes, named, type Step, slot } from '@ctr/internal/steps';
import { AT_FDCWD, O, openFlags } from '../../steps/flags.js';
import { isMask } from '../masked-steps.js';
import { type Emitted, targets } from './assemble.js';
import { hasMountsBelow, hostMountFlags } from './host-flags.js';

/** A folder that every sysfs has; it is covered in this process's own mount namespace only. */
const STAGE = '/sys/kernel';
const STAGE_SLOT = 'stage';
const MS_REMOUNT_BIND = 0x20 | 0x1000;
const MS_BIND = 0x1000;
const MS_MOVE = 0x2000;
const MS_REC = 0x4000;
const AT_RECURSIVE = 0x8000;
const MS_UNBINDABLE = 1 << 17;
const MNT_DETACH = named(2, 'MNT_DETACH');
/** MOUNT_ATTR_* -> MS_*, by bits. */
const FLAGS: readonly (readonly [number, number])[] = [
  [1, 1],
  [2, 2],
  [4, 4],
  [8, 8],
  [0x10, 0x400],
  [0x20, 0x1000000],
  [0x80, 0x800],
  [0x200000, 0x100],
];
const oldFlags = (attr: number): number => FLAGS.reduce((word, [from, to]) => (attr & from ? word | to : word), 0);

const numberOf = (arg: Arg | undefined): number =>
  typeof arg === 'number' ? arg : typeof arg === 'object' && arg !== null && 'value' in arg ? Number(arg.value) : 0;
const slotOf = (arg: Arg | undefined): string | undefined =>
  typeof arg === 'object' && arg !== null && 'slot' in arg ? arg.slot : undefined;
const mount = (
  source: string | null,
  target: string,
  type: string | null,
  flags: number,
  data: string | null,
): Pick<Step, 'call' | 'args'> => ({
  call: 'mount',
  args: [source, target, type, named(flags, `0x${flags.toString(16)}`), data],
});

interface Context {
  type: string;
  source: string;
  data: string[];
}

const refuse = (what: string): never => {
  throw new UnsupportedError(what, 'the newer mount calls (fsopen, open_tree, move_mount, mount_setattr), which this host hides');
};

export class LegacyMounts {
  /** Slot -> its name on the stage. */
  readonly #names = new Map<string, string>();
  /** By the name on the stage, and by the target of what is attached: a remount sets all flags anew, so they must be known. */
  readonly #flags = new Map<string, number>();
  /** Names of copies with all that is mounted below -> the host's path. */
  readonly #deep = new Map<string, string>();
  readonly #contexts = new Map<string, Context>();
  /** Slot -> where its mount is now. */
  readonly #attached = new Map<string, string>();
  /** Slots that stay empty. */
  readonly #never = new Set<string>();
  #next = 0;
  #staged = false;
  #root: string | undefined;

  /** Before the working directory is looked for. */
  finish(): Step[] {
    if (!this.#staged) return [];
    const doing = 'let the stage go';
    if (this.#root === undefined) return [{ call: 'umount2', args: [STAGE, MNT_DETACH], doing }, chdir('/')];
    return [{ call: 'fchdir', args: [slot(this.#root)], doing }, { call: 'umount2', args: ['.', MNT_DETACH], doing }, chdir('/')];
  }

  /** pivot_root(2) onto the stage's mount; the old root, with the stage, stays beneath until finish(). */
  pivot(group: readonly Step[]): Step[] {
    const root = slotOf(group.find((s) => s.call === 'fchdir')?.args[0]) as string;
    const doing = 'make the new root /';
    this.#root = root;
    return [
      { call: 'fchdir', args: [slot(root)], doing },
      { call: 'pivot_root', args: ['.', '.'], doing },
      { call: 'fchdir', args: [slot(STAGE_SLOT)], doing },
    ];
  }

  rewrite(step: Step, i: number): Emitted[] | undefined {
    const rest = { ...(step.doing ? { doing: step.doing } : {}), ...(step.path ? { path: step.path } : {}) };
    switch (step.call) {
      case 'fsopen':
        // One that knows a way of its own when the call is missing goes that way.
        if (step.allow?.includes('ENOSYS')) return [{ step: { call: 'getpid', args: [] }, ok: i + 1 + (step.skipOnAllowed ?? 0) }];
        this.#never.add(step.into as string);
        this.#contexts.set(step.into as string, { type: String(step.args[0]), source: 'none', data: [] });
        return [];
      case 'fsconfig':
        return this.#configure(step);
      case 'fsmount':
        return this.#contexts.has(slotOf(step.args[0]) ?? '') ? this.#make(step, i, rest) : undefined;
      case 'open_tree':
        return this.#copy(step, i, rest);
      case 'mount_setattr':
        return this.#change(step, rest);
      case 'move_mount':
        return this.#attach(step, i, rest);
      case 'fspick':
        return refuse('to remount a file system');
      case 'close':
        return this.#never.has(slotOf(step.args[0]) ?? '') ? [] : undefined;
      default:
        return undefined;
    }
  }

  #path(name: string): string {
    return this.#root === undefined ? `${STAGE}/${name}` : name;
  }

  /** The same name for all ways that lead to one attaching. */
  #nameOf(into: string): string {
    const known = this.#names.get(into) ?? String(this.#next++);
    this.#names.set(into, known);
    return known;
  }

  #configure(step: Step): Emitted[] | undefined {
    const context = this.#contexts.get(slotOf(step.args[0]) ?? '');
    if (context === undefined) return undefined;
    const [, , key, value] = step.args;
    if (key === 'source') context.source = String(value);
    else if (typeof key === 'string') context.data.push(typeof value === 'string' ? `${key}=${value}` : key);
    return [];
  }

  #open(name: string, into: string, i: number, step: Step, rest: object): Emitted {
    const open: Step = { call: 'openat', args: [AT_FDCWD, this.#path(name), openFlags('O_PATH', 'O_CLOEXEC')], into, ...rest };
    return { step: open, ok: targets(step, i).ok as number };
  }

  #make(step: Step, i: number, rest: object): Emitted[] {
    const context = this.#contexts.get(slotOf(step.args[0]) ?? '') as Context;
    this.#contexts.delete(slotOf(step.args[0]) ?? '');
    const into = step.into as string;
    const name = this.#nameOf(into);
    const flags = oldFlags(numberOf(step.args[2]));
    this.#flags.set(name, flags);
    return [
      { step: { call: 'mkdirat', args: [AT_FDCWD, this.#path(name), 0o700], allow: ['EEXIST'], ...rest } },
      { step: { ...mount(context.source, this.#path(name), context.type, flags, context.data.join(',') || null), ...rest } },
      this.#open(name, into, i, step, rest),
    ];
  }

  /** What is a file gets a file to be put on. */
  #copy(step: Step, i: number, rest: object): Emitted[] {
    const held = slotOf(step.args[0]);
    const from =
      held === undefined ? String(step.args[1]) : this.#names.has(held) ? this.#path(this.#names.get(held) as string) : undefined;
    // The terminal as /dev/console: its end has no path here; the file stays empty.
    if (from === undefined) return held?.startsWith('tty.') ? [] : refuse('to mount by a descriptor');
    if (!this.#staged) return refuse('a mount that travels between host and container');
    const name = this.#nameOf(step.into as string);
    const at = this.#path(name);
    this.#flags.set(name, this.#flagsAt(held === undefined ? from : undefined));
    const { allowed } = targets(step, i);
    const open = (...f: string[]): Step => ({
      call: 'openat',
      args: [AT_FDCWD, from, openFlags('O_PATH', 'O_CLOEXEC', ...f)],
      into: 'stage.from',
      ...rest,
    });
    const deep = (numberOf(step.args[2]) & AT_RECURSIVE) !== 0 ? MS_REC : 0;
    if (deep !== 0 && held === undefined && this.#root === undefined) this.#deep.set(name, from);
    return [
      ...(step.allow ? [{ step: { ...open(), allow: step.allow }, allowed: allowed as number }] : []),
      { step: { ...open('O_DIRECTORY'), allow: ['ENOTDIR'] }, skipAllowed: 1 },
      { step: { call: 'mkdirat', args: [AT_FDCWD, at, 0o700], allow: ['EEXIST'], ...rest }, skipOk: 1, skipAllowed: 1 },
      { step: { call: 'mknodat', args: [AT_FDCWD, at, 0o100600, 0], allow: ['EEXIST'], ...rest } },
      { step: { ...mount(from, at, null, MS_BIND | deep, null), ...rest } },
      this.#open(name, step.into as string, i, step, rest),
    ];
  }

  /** Of the mount that a path is on: the container's own once it is there, the host's before. */
  #flagsAt(from: string | undefined): number {
    if (from === undefined) return 0;
    if (this.#root === undefined) return hostMountFlags(from);
    const on = [...this.#flags.keys()].filter((t) => t.startsWith('/') && (from === t || from.startsWith(`${t}/`)));
    return this.#flags.get(on.sort((a, b) => b.length - a.length)[0] ?? '') ?? 0;
  }

  #change(step: Step, rest: object): Emitted[] {
    const { bytes } = step.args[3] as Bytes;
    const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const [set, clear, propagation] = [0, 8, 16].map((at) => Number(b.readBigUInt64LE(at))) as [number, number, number];
    if (set & 0x100000) return refuse('a mount with other ids');
    const changed = oldFlags(set) | oldFlags(clear);
    const deep = (numberOf(step.args[2]) & AT_RECURSIVE) !== 0 ? MS_REC : 0;
    const held = slotOf(step.args[0]);
    const name = held === undefined ? undefined : this.#names.get(held);
    // One that has its place is no longer on the stage.
    const target = held === undefined ? String(step.args[1]) : (this.#attached.get(held) ?? this.#path(name as string));
    const key = this.#attached.has(held ?? '') ? target : (name ?? target);
    const source = deep !== 0 && changed !== 0 ? this.#deep.get(key) : undefined;
    if (source !== undefined && hasMountsBelow(source))
      return refuse(`flags for what is mounted below ${source} (recursive: false mounts it alone)`);
    const flags = ((this.#flags.get(key) ?? 0) & ~oldFlags(clear)) | oldFlags(set);
    this.#flags.set(key, flags);
    const out: Emitted[] = [];
    if (changed !== 0) out.push({ step: { ...mount(null, target, null, MS_REMOUNT_BIND | flags, null), ...rest } });
    if (propagation !== 0) out.push({ step: { ...mount(null, target, null, deep | propagation, null), ...rest } });
    if (target === '/' && !this.#staged) out.push(...this.#stage());
    return out;
  }

  #stage(): Emitted[] {
    this.#staged = true;
    const doing = 'make the stage for mounts';
    return [
      { step: { ...mount('ctr', STAGE, 'tmpfs', 2 | 4, 'mode=700'), doing } },
      // A bind of all of /sys must not take it along.
      { step: { ...mount(null, STAGE, null, MS_UNBINDABLE, null), doing } },
      { step: { call: 'openat', args: [AT_FDCWD, STAGE, openFlags('O_PATH', 'O_DIRECTORY', 'O_CLOEXEC')], into: STAGE_SLOT, doing } },
    ];
  }

  #attach(step: Step, i: number, rest: object): Emitted[] {
    const held = slotOf(step.args[0]) as string;
    if (held.startsWith('tty.')) return [];
    const name = this.#names.get(held);
    if (name === undefined) return refuse('to mount by a descriptor');
    // Further copies are made of a mask, which takes a place on the stage: so this is one, too.
    const copied = isMask(held);
    // The next one of this slot, if any, is another; but the second way to attach the same one is not.
    const second = slotOf(step.args[2]) !== undefined;
    if (!copied && (second || step.skipOnSuccess === undefined)) this.#names.delete(held);
    const target = second ? (step.path as string) : String(step.args[3]);
    this.#flags.set(target, this.#flags.get(name) ?? 0);
    if (!copied) this.#attached.set(held, target);
    const move = {
      ...mount(this.#path(name), target, null, copied ? MS_BIND : MS_MOVE, null),
      ...rest,
      ...(step.allow ? { allow: step.allow } : {}),
    };
    return [{ step: move, ...targets(step, i) }];
  }
}

const chdir = (path: string): Step => ({ call: 'chdir', args: [path] });

/** openat2(2) by openat(2): what it would not have followed must be kept away by other means. */
export function withoutOpenat2(step: Step): Step {
  if (step.call !== 'openat2') return step;
  const { bytes, text } = step.args[2] as Bytes;
  const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const flags = Number(b.readBigUInt64LE(0)) | (O['O_CLOEXEC'] as number);
  return {
    ...step,
    call: 'openat',
    args: [step.args[0] as Arg, step.args[1] as Arg, named(flags, String(text)), Number(b.readBigUInt64LE(8))],
  };
}
