import type { Arg, Step } from '@ctr/internal/steps';
import { describe, expect, it } from 'vitest';
import { describeBindRoot } from './bind-root.js';
import { describeFallback } from './describe-fallback.js';
import { describeOverlay, overlaySteps } from './describe-overlay.js';
import { describeHostRoot } from './host-root.js';
import { describeMakeUpper } from './make-upper.js';
import { checkOverlay, type OverlayOptions } from './overlay-options.js';

const show = (arg: Arg): string => {
  if (arg !== null && typeof arg === 'object')
    return 'slot' in arg ? `<${arg.slot}>` : 'text' in arg && arg.text !== undefined ? arg.text : '?';
  return JSON.stringify(arg);
};
const line = (s: Step): string =>
  [
    ...(s.into ? [`${s.into} =`] : []),
    `${s.call}(${s.args.map(show).join(', ')})`,
    ...(s.allow ? [`| ${s.allow.join(' ')}${s.skipOnAllowed ? ` -> +${s.skipOnAllowed}` : ''}`] : []),
    ...(s.skipOnSuccess ? [`| ok -> +${s.skipOnSuccess}`] : []),
  ].join(' ');
const lines = (steps: readonly Step[]): string => `\n${steps.map(line).join('\n')}\n`;
const detached = (o: OverlayOptions): string => lines(overlaySteps(checkOverlay(o), []));
const fallback = (o: OverlayOptions): string => lines(describeFallback(checkOverlay(o), 'overlay'));

describe('describeOverlay', () => {
  it('passes layers and a memory upper by descriptor', () => {
    expect(detached({ lower: ['/top', '/base'], size: 65536, userxattr: true })).toMatchInlineSnapshot(`
      "
      overlay.fs = fsopen("overlay", FSOPEN_CLOEXEC)
      overlay.layer = openat(AT_FDCWD, "/top", O_PATH|O_DIRECTORY|O_CLOEXEC, 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_FD, "lowerdir+", null, <overlay.layer>)
      overlay.layer = openat(AT_FDCWD, "/base", O_PATH|O_DIRECTORY|O_CLOEXEC, 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_FD, "lowerdir+", null, <overlay.layer>)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "source", "overlay", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "redirect_dir", "nofollow", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "metacopy", "off", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "index", "off", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "xino", "off", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_FLAG, "userxattr", null, 0)
      overlay.parent.fs = fsopen("tmpfs", FSOPEN_CLOEXEC)
      fsconfig(<overlay.parent.fs>, FSCONFIG_SET_STRING, "mode", "0755", 0)
      fsconfig(<overlay.parent.fs>, FSCONFIG_SET_STRING, "size", "65536", 0)
      fsconfig(<overlay.parent.fs>, FSCONFIG_CMD_CREATE, null, null, 0)
      overlay.parent = fsmount(<overlay.parent.fs>, FSMOUNT_CLOEXEC, 0)
      mkdirat(<overlay.parent>, "upper", 0755) | EEXIST -> +1
      fchmodat(<overlay.parent>, "upper", 0755)
      mkdirat(<overlay.parent>, "work", 0700) | EEXIST
      overlay.upper = openat(<overlay.parent>, "upper", O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC, 0)
      overlay.work = openat(<overlay.parent>, "work", O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC, 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_FD, "upperdir", null, <overlay.upper>)
      fsconfig(<overlay.fs>, FSCONFIG_SET_FD, "workdir", null, <overlay.work>)
      fsconfig(<overlay.fs>, FSCONFIG_CMD_CREATE, null, null, 0)
      overlay = fsmount(<overlay.fs>, FSMOUNT_CLOEXEC, 0)
      "
    `);
  });

  it('mounts the device of an upper ahead, where devices may be opened, and carries it off afterwards', () => {
    const upper = { device: '/dev/loop3' };
    const { prepare = [], steps, temporary } = describeOverlay({ lower: ['/base'], upper, volatile: true });
    expect(lines(prepare)).toMatchInlineSnapshot(`
      "
      overlay.parent.fs = fsopen("ext4", FSOPEN_CLOEXEC)
      fsconfig(<overlay.parent.fs>, FSCONFIG_SET_STRING, "source", "/dev/loop3", 0)
      fsconfig(<overlay.parent.fs>, FSCONFIG_SET_FLAG, "noinit_itable", null, 0)
      fsconfig(<overlay.parent.fs>, FSCONFIG_SET_FLAG, "nobarrier", null, 0)
      fsconfig(<overlay.parent.fs>, FSCONFIG_CMD_CREATE, null, null, 0)
      overlay.parent = fsmount(<overlay.parent.fs>, FSMOUNT_CLOEXEC, 0)
      "
    `);
    expect(steps.some((s) => s.args.includes('/dev/loop3') || s.args.includes('ext4') || s.args.includes('tmpfs'))).toBe(false);
    expect(temporary).toEqual(['overlay.parent']);
    expect(fallback({ lower: ['/base'], upper })).toContain('move_mount(<overlay.parent>, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH)');
    expect(fallback({ lower: ['/base'], upper })).toContain('upperdir=/proc/upper,workdir=/proc/work');
  });

  it('finds there what was made ahead in a directory of a disk', () => {
    expect(`\n${describeMakeUpper('/state/1', { mode: 0o1777, uid: 5 }).map(line).join('\n')}\n`).toMatchInlineSnapshot(`
      "
      mkdirat(AT_FDCWD, "/state/1", 0700)
      mkdirat(AT_FDCWD, "/state/1/upper", 1777) | EEXIST -> +2
      fchownat(AT_FDCWD, "/state/1/upper", 5, 0, 0)
      fchmodat(AT_FDCWD, "/state/1/upper", 1777)
      mkdirat(AT_FDCWD, "/state/1/work", 0700) | EEXIST
      "
    `);
    expect(describeMakeUpper('/state/1')).toHaveLength(4);
    expect(() => describeMakeUpper('state')).toThrow('expected "directory" to be an absolute path');
    expect(() => describeMakeUpper('/state/1', { uid: -1 })).toThrow('root.uid');
  });

  it('takes a directory of a disk as the upper', () => {
    expect(detached({ lower: ['/base'], upper: { directory: '/state/1' }, volatile: true })).toMatchInlineSnapshot(`
      "
      overlay.fs = fsopen("overlay", FSOPEN_CLOEXEC)
      overlay.layer = openat(AT_FDCWD, "/base", O_PATH|O_DIRECTORY|O_CLOEXEC, 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_FD, "lowerdir+", null, <overlay.layer>)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "source", "overlay", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "redirect_dir", "nofollow", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "metacopy", "off", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "index", "off", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "xino", "off", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_FLAG, "volatile", null, 0)
      overlay.parent = openat(AT_FDCWD, "/state/1", O_PATH|O_DIRECTORY|O_CLOEXEC, 0)
      mkdirat(<overlay.parent>, "upper", 0755) | EEXIST -> +1
      fchmodat(<overlay.parent>, "upper", 0755)
      mkdirat(<overlay.parent>, "work", 0700) | EEXIST
      overlay.upper = openat(<overlay.parent>, "upper", O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC, 0)
      overlay.work = openat(<overlay.parent>, "work", O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC, 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_FD, "upperdir", null, <overlay.upper>)
      fsconfig(<overlay.fs>, FSCONFIG_SET_FD, "workdir", null, <overlay.work>)
      fsconfig(<overlay.fs>, FSCONFIG_CMD_CREATE, null, null, 0)
      overlay = fsmount(<overlay.fs>, FSMOUNT_CLOEXEC, 0)
      "
    `);
  });

  it('gives the kernel the second layer that it wants without an upper', () => {
    expect(detached({ lower: ['/base'], readOnly: true })).toMatchInlineSnapshot(`
      "
      overlay.fs = fsopen("overlay", FSOPEN_CLOEXEC)
      overlay.layer = openat(AT_FDCWD, "/base", O_PATH|O_DIRECTORY|O_CLOEXEC, 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_FD, "lowerdir+", null, <overlay.layer>)
      overlay.empty.fs = fsopen("tmpfs", FSOPEN_CLOEXEC)
      fsconfig(<overlay.empty.fs>, FSCONFIG_SET_STRING, "mode", "0755", 0)
      fsconfig(<overlay.empty.fs>, FSCONFIG_CMD_CREATE, null, null, 0)
      overlay.empty = fsmount(<overlay.empty.fs>, FSMOUNT_CLOEXEC, 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_FD, "lowerdir+", null, <overlay.empty>)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "source", "overlay", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "redirect_dir", "nofollow", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "metacopy", "off", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "index", "off", 0)
      fsconfig(<overlay.fs>, FSCONFIG_SET_STRING, "xino", "off", 0)
      fsconfig(<overlay.fs>, FSCONFIG_CMD_CREATE, null, null, 0)
      overlay = fsmount(<overlay.fs>, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY)
      "
    `);
  });

  it('turns to mount(2) on older kernels', () => {
    expect(fallback({ lower: ['/top:a,b\\c', '/base'], size: 65536, userxattr: true })).toMatchInlineSnapshot(`
      "
      mount(null, "/", null, MS_REC|MS_PRIVATE, null)
      mount("tmpfs", "/proc", "tmpfs", MS_NOSUID|MS_NODEV, "mode=0755,size=65536")
      overlay.parent = openat(AT_FDCWD, "/proc", O_PATH|O_DIRECTORY|O_CLOEXEC, 0)
      mkdirat(<overlay.parent>, "upper", 0755) | EEXIST -> +1
      fchmodat(<overlay.parent>, "upper", 0755)
      mkdirat(<overlay.parent>, "work", 0700) | EEXIST
      mount("overlay", "/proc", "overlay", 0, "lowerdir=/top\\\\:a\\\\,b\\\\\\\\c:/base,upperdir=/proc/upper,workdir=/proc/work,redirect_dir=nofollow,metacopy=off,index=off,xino=off,userxattr")
      overlay = open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)
      umount2("/proc", MNT_DETACH)
      umount2("/proc", MNT_DETACH)
      "
    `);
    expect(fallback({ lower: ['/base'], readOnly: true })).toMatchInlineSnapshot(`
      "
      mount(null, "/", null, MS_REC|MS_PRIVATE, null)
      mount("tmpfs", "/proc", "tmpfs", MS_NOSUID|MS_NODEV, "mode=0755")
      mount("overlay", "/proc", "overlay", 0, "lowerdir=/base:/proc,redirect_dir=nofollow,metacopy=off,index=off,xino=off")
      overlay = open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)
      mount_setattr(<overlay>, "", AT_EMPTY_PATH, {set=MOUNT_ATTR_RDONLY}, 32)
      umount2("/proc", MNT_DETACH)
      umount2("/proc", MNT_DETACH)
      "
    `);
    expect(fallback({ lower: ['/base'], upper: { directory: '/state/1' }, readOnly: true })).toMatchInlineSnapshot(`
      "
      mount(null, "/", null, MS_REC|MS_PRIVATE, null)
      overlay.parent = openat(AT_FDCWD, "/state/1", O_PATH|O_DIRECTORY|O_CLOEXEC, 0)
      mkdirat(<overlay.parent>, "upper", 0755) | EEXIST -> +1
      fchmodat(<overlay.parent>, "upper", 0755)
      mkdirat(<overlay.parent>, "work", 0700) | EEXIST
      mount("overlay", "/proc", "overlay", 0, "lowerdir=/base,upperdir=/state/1/upper,workdir=/state/1/work,redirect_dir=nofollow,metacopy=off,index=off,xino=off")
      overlay = open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)
      mount_setattr(<overlay>, "", AT_EMPTY_PATH, {set=MOUNT_ATTR_RDONLY}, 32)
      umount2("/proc", MNT_DETACH)
      "
    `);
  });

  it('leads from the first layer to the fallback, and past it after success', () => {
    const { steps, slot } = describeOverlay({ lower: ['/top', '/base'] });
    expect(slot).toBe('overlay');
    const target = (i: number, skip: number | undefined): string => line(steps[i + 1 + (skip ?? 0)] as Step);
    const trial = steps.findIndex((s) => s.args[2] === 'lowerdir+');
    expect(steps[trial]?.allow).toEqual(['EOPNOTSUPP', 'EINVAL', 'EBADF']);
    expect(target(trial, steps[trial]?.skipOnAllowed)).toBe('mount(null, "/", null, MS_REC|MS_PRIVATE, null)');
    expect(target(0, steps[0]?.skipOnAllowed)).toBe('mount(null, "/", null, MS_REC|MS_PRIVATE, null)');
    const last = steps.findIndex((s) => s.call === 'fsmount' && s.into === 'overlay');
    expect(last + 1 + (steps[last]?.skipOnSuccess ?? 0)).toBe(steps.length);
    for (const s of steps) expect(s.doing).toMatch(/overlay root$/);
  });

  it("uses names relative to the layers' directory when full ones do not fit into a page", () => {
    const lower = Array.from({ length: 60 }, (_, i) => `/var/lib/ctr/layers/sha256/${String(i).padStart(64, '0')}`);
    const text = fallback({ lower });
    expect(text).toContain('\nchdir("/var/lib/ctr/layers/sha256")\n');
    expect(text).toContain(`"lowerdir=${'0'.repeat(64)}:${'0'.repeat(63)}1:`);
    const tooMany = Array.from({ length: 100 }, (_, i) => `/var/lib/ctr/layers/sha256/${String(i).padStart(64, '0')}`);
    expect(describeFallback(checkOverlay({ lower: tooMany }), 'overlay')).toEqual([]);
    expect(overlaySteps(checkOverlay({ lower: tooMany }), []).some((s) => s.allow?.includes('EBADF'))).toBe(false);
  });

  it.each([
    [{ lower: [] }, 'lower'],
    [{ lower: 'x' }, 'lower'],
    [{ lower: ['relative'] }, 'lower[0]'],
    [{ lower: ['/a', '/b\0'] }, 'lower[1]'],
    [{ lower: ['/a', `/${'x'.repeat(4096)}`] }, 'lower[1]'],
    [{ lower: Array.from({ length: 501 }, () => '/a') }, 'lower'],
    [{ lower: ['/a'], upper: 'disk' }, 'upper'],
    [{ lower: ['/a'], upper: { directory: 5 } }, 'upper.directory'],
    [{ lower: ['/a'], upper: { dir: '/x' } }, 'upper.dir'],
    [{ lower: ['/a'], size: -1 }, 'size'],
    [{ lower: ['/a'], size: 1.5 }, 'size'],
    [{ lower: ['/a'], size: 1, readOnly: true }, 'size'],
    [{ lower: ['/a'], volatile: 'yes' }, 'volatile'],
    [{ lower: ['/a'], userxattr: 1 }, 'userxattr'],
    [{ lower: ['/a'], readonly: true }, 'options.readonly'],
    [undefined, 'options'],
  ])('refuses %j by the name %s', (options, path) => {
    expect(() => describeOverlay(options as never)).toThrow(expect.objectContaining({ code: 'CTR_INVALID_ARGUMENT', path }));
  });
});

describe('describeBindRoot', () => {
  it('clones the folder with all below it, private and read-only on request', () => {
    const { steps, slot } = describeBindRoot('/srv/root', { readOnly: true });
    expect(slot).toBe('bind');
    expect(lines(steps)).toMatchInlineSnapshot(`
      "
      bind = open_tree(AT_FDCWD, "/srv/root", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_RECURSIVE)
      mount_setattr(<bind>, "", AT_EMPTY_PATH|AT_RECURSIVE, {set=MOUNT_ATTR_RDONLY, propagation=MS_PRIVATE}, 32)
      "
    `);
    expect(lines(describeBindRoot('/srv/root', { recursive: false }).steps)).toMatchInlineSnapshot(`
      "
      bind = open_tree(AT_FDCWD, "/srv/root", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)
      mount_setattr(<bind>, "", AT_EMPTY_PATH, {propagation=MS_PRIVATE}, 32)
      "
    `);
  });

  it('checks its arguments', () => {
    expect(() => describeBindRoot('srv')).toThrow('directory');
    expect(() => describeBindRoot('/srv', { readonly: true } as never)).toThrow('did you mean "readOnly"');
  });
});

describe('describeHostRoot', () => {
  it('makes a directory for each of the host, and fills none that is made anew for a container', () => {
    const { steps, slot } = describeHostRoot({ size: 1 << 20, userxattr: true });
    expect(slot).toBe('host');
    const at = (call: string, name: string): Step | undefined =>
      steps.find((s) => s.call === call && s.args.includes(name) && line(s).includes('<host>'));
    for (const name of ['proc', 'usr']) expect(at('mkdirat', name)).toBeDefined();
    expect(at('move_mount', 'usr')).toBeDefined();
    expect(at('move_mount', 'proc')).toBeUndefined();
  });

  it('checks its arguments', () => {
    expect(() => describeHostRoot({ size: 0 })).toThrow('size');
    expect(() => describeHostRoot({ userXattr: true } as never)).toThrow('did you mean "userxattr"');
  });
});
