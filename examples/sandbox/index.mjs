#!/usr/bin/env node
// bubblewrap's command line, from @ctr/namespaces alone: a program in a root of its own, without root and without a set-uid helper.
//
//   node index.mjs --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin \
//     --proc /proc --dev /dev --tmpfs /tmp --unshare-all --disable-userns -- sh
//
// The program is process 1 (--as-pid-1), ends with this one (--die-with-parent) and has its own session (--new-session).
import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { Fd, ownIdMaps, spawn } from '@ctr/namespaces';

const KINDS = { user: 'user', ipc: 'ipc', pid: 'pid', net: 'network', uts: 'uts', cgroup: 'cgroup', time: 'time' };
const ROOT = { slot: 'root' };
const AT_FDCWD = -100;
const EMPTY_PATH_RECURSIVE = 0x1000 | 0x8000;
const OPEN_TREE = 1 | 0x80000 | 0x8000;

const box = { env: { ...process.env }, namespaces: { mount: 'new' }, mounts: [], readonlyPaths: [], made: [], capabilities: [] };

/** A bind becomes / itself when that is its target, else one more mount. */
function bind(source, target, flags) {
  if (target !== '/') return box.mounts.push({ type: 'bind', source, target, nosuid: true, ...flags });
  const doing = `make ${source} the root`;
  box.root = [{ call: 'open_tree', args: [AT_FDCWD, source, OPEN_TREE], into: 'root', doing }];
  const readOnly = Buffer.alloc(32);
  readOnly[0] = 1;
  if (flags.readOnly) box.root.push({ call: 'mount_setattr', args: [ROOT, '', EMPTY_PATH_RECURSIVE, { bytes: readOnly }, 32], doing });
}

/** Directories of the new root, each with those above it. */
function directory(path) {
  const parts = path.split('/').filter(Boolean);
  for (let i = 1; i <= parts.length; i++) {
    const mode = i === parts.length ? take('perms', 0o755) : 0o755;
    box.made.push({ call: 'mkdirat', args: [ROOT, parts.slice(0, i).join('/'), mode], allow: ['EEXIST'], doing: `make ${path}` });
  }
}

/** --perms and --size are for the next operation. */
function take(option, otherwise) {
  const value = box[option] ?? otherwise;
  box[option] = undefined;
  return value;
}

const fd = (text) => Fd.of(Number(text));
const unshare = (kind) => () => Object.assign(box.namespaces, { [KINDS[kind]]: 'new' });

/** Each option takes as many arguments as its function has. */
const OPTIONS = {
  args: (from) => parse(readFileSync(Number(from), 'utf8').split('\0').filter(Boolean)),
  ...Object.fromEntries(Object.keys(KINDS).flatMap((k) => [`unshare-${k}`, `unshare-${k}-try`].map((name) => [name, unshare(k)]))),
  'unshare-all': () => ['user', 'ipc', 'pid', 'net', 'uts', 'cgroup'].map((k) => unshare(k)()),
  'share-net': () => delete box.namespaces.network,
  userns: (n) => Object.assign(box.namespaces, { user: fd(n) }),
  pidns: (n) => Object.assign(box.namespaces, { pid: fd(n) }),
  'disable-userns': () => Object.assign(box, { disableUserNamespaces: true }),
  uid: (id) => Object.assign(box, { uid: Number(id) }),
  gid: (id) => Object.assign(box, { gid: Number(id) }),
  hostname: (name) => Object.assign(box, { hostname: name }),
  chdir: (path) => Object.assign(box, { cwd: path }),
  clearenv: () => Object.assign(box, { env: {} }),
  setenv: (name, value) => Object.assign(box.env, { [name]: value }),
  unsetenv: (name) => delete box.env[name],
  bind: (from, to) => bind(from, to, { nodev: true }),
  'bind-try': (from, to) => existsSync(from) && bind(from, to, { nodev: true }),
  'dev-bind': (from, to) => bind(from, to, {}),
  'dev-bind-try': (from, to) => existsSync(from) && bind(from, to, {}),
  'ro-bind': (from, to) => bind(from, to, { nodev: true, readOnly: true }),
  'ro-bind-try': (from, to) => existsSync(from) && bind(from, to, { nodev: true, readOnly: true }),
  'remount-ro': (path) => (path === '/' ? Object.assign(box, { readOnlyRoot: true }) : box.readonlyPaths.push(path)),
  proc: (target) => box.mounts.push({ type: 'proc', target }),
  dev: (target) => box.mounts.push({ type: 'dev', target }),
  mqueue: (target) => box.mounts.push({ type: 'mqueue', target }),
  tmpfs: (target) => {
    const size = take('size');
    box.mounts.push({ type: 'tmpfs', target, mode: take('perms', 0o755), ...(size === undefined ? {} : { size }) });
  },
  dir: directory,
  symlink: (to, path) => {
    if (path.lastIndexOf('/') > 0) directory(path.slice(0, path.lastIndexOf('/')));
    box.made.push({ call: 'symlinkat', args: [to, ROOT, path.slice(1)], doing: `link ${path}` });
  },
  perms: (octal) => Object.assign(box, { perms: Number.parseInt(octal, 8) }),
  size: (bytes) => Object.assign(box, { size: Number(bytes) }),
  seccomp: (n) => Object.assign(box, { seccomp: new Uint8Array(readFileSync(Number(n))) }),
  'cap-add': (name) => box.capabilities.push(name),
  'cap-drop': (name) => Object.assign(box, { capabilities: name === 'ALL' ? [] : box.capabilities.filter((c) => c !== name) }),
  'die-with-parent': () => {},
  'new-session': () => {},
  'as-pid-1': () => {},
};

/** Up to the program; returns it with its arguments. */
function parse(words) {
  for (let i = 0; i < words.length; ) {
    const word = words[i++];
    if (word === '--') return words.slice(i);
    if (!word.startsWith('--')) return words.slice(i - 1);
    const option = OPTIONS[word.slice(2)];
    if (option === undefined) throw new Error(`unknown option ${word}`);
    if (i + option.length > words.length) throw new Error(`${word} takes ${option.length} arguments`);
    option(...words.slice(i, i + option.length));
    i += option.length;
  }
  return [];
}

const fs = (call, args, into) => ({ call, args, into, doing: 'make the root' });
const emptyRoot = [
  fs('fsopen', ['tmpfs', 1], 'fs'),
  fs('fsconfig', [{ slot: 'fs' }, 1, 'mode', '755', 0]),
  fs('fsconfig', [{ slot: 'fs' }, 6, null, null, 0]),
  fs('fsmount', [{ slot: 'fs' }, 1, 0], 'root'),
];

async function main() {
  const args = parse(process.argv.slice(2));
  if (args.length === 0) throw new Error('usage: sandbox [OPTIONS…] [--] COMMAND [ARGUMENTS…]; the options are those of bwrap(1)');
  const { root = emptyRoot, made, capabilities, perms, size, uid = process.getuid(), gid = process.getgid(), ...rest } = box;
  if (process.getuid() !== 0) rest.namespaces.user ??= 'new';
  const own = rest.namespaces.user === 'new' ? { idMaps: ownIdMaps({ uid, gid }) } : {};
  if (rest.hostname !== undefined) rest.namespaces.uts = 'new';
  const sets = Object.fromEntries(['bounding', 'effective', 'permitted', 'inheritable', 'ambient'].map((set) => [set, capabilities]));
  const options = {
    args,
    user: { uid, gid },
    capabilities: sets,
    noNewPrivileges: true,
    stdio: ['inherit', 'inherit', 'inherit'],
    ...own,
    ...rest,
  };
  const program = await spawn({ ...options, root: { steps: [...root, ...made], slot: 'root' } });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => program.kill(signal));
  const { exitCode, signal } = await program.exited;
  return exitCode ?? 128 + constants.signals[signal];
}

process.exitCode = await main().catch((error) => {
  console.error(`sandbox: ${error.message}`);
  return 1;
});
