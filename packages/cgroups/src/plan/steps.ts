// The few steps that cgroups need, for the launcher of @ctr/namespaces: make, write, open, remove.
import { named, type Step, slot } from '@ctr/internal/steps';

const AT_FDCWD = named(-100, 'AT_FDCWD');
const AT_REMOVEDIR = named(0x200, 'AT_REMOVEDIR');
const WRITE_ONLY = named(0o2000001, 'O_WRONLY|O_CLOEXEC');
// The flag O_DIRECTORY differs between architectures; CLONE_INTO_CGROUP checks what it gets (ENOTDIR, EBADF).
const PATH_ONLY = named(0o12000000, 'O_PATH|O_CLOEXEC');

/** Taken in turn by each file that is written and closed. */
const SCRATCH = 'cg.file';

export const makeStep = (directory: string, doing: string): Step => ({
  call: 'mkdirat',
  args: [AT_FDCWD, directory, named(0o755, '0755')],
  doing,
});

/** Opens, writes, closes. */
export const writeSteps = (file: string, text: string, doing: string): Step[] => [
  { call: 'openat', args: [AT_FDCWD, file, WRITE_ONLY, 0], into: SCRATCH, doing },
  { call: 'write', args: [slot(SCRATCH), text, Buffer.byteLength(text)], path: file, doing },
  { call: 'close', args: [slot(SCRATCH)], path: file, doing },
];

/** What is gone has nothing to kill: where the launcher was killed too, whoever collects what it left may have been quicker. */
export const killSteps = (file: string, doing: string): Step[] => {
  const [open, write, close] = writeSteps(file, '1', doing) as [Step, Step, Step];
  return [{ ...open, allow: ['ENOENT'], skipOnAllowed: 2 }, { ...write, allow: ['ENODEV'] }, close];
};

export const openTasksStep = (directory: string, into: string, doing: string): Step => ({
  call: 'openat',
  args: [AT_FDCWD, `${directory}/tasks`, WRITE_ONLY, 0],
  into,
  doing,
});

export const openDirectoryStep = (directory: string, into: string, doing: string): Step => ({
  call: 'openat',
  args: [AT_FDCWD, directory, PATH_ONLY, 0],
  into,
  doing,
});

/**
 * KERNEL: '0' in `tasks` means the writer itself and, for a process of one thread, waits for nobody; a pid in
 * cgroup.procs takes cgroup_threadgroup_rwsem and waits for an RCU grace period, some milliseconds.
 */
export const enterStep = (from: string, directory: string, doing: string): Step => ({
  call: 'write',
  args: [slot(from), '0', 1],
  path: `${directory}/tasks`,
  doing,
});

export const removalStep = (directory: string, doing: string): Step => ({
  call: 'unlinkat',
  args: [AT_FDCWD, directory, AT_REMOVEDIR],
  allow: ['ENOENT'],
  doing,
});

/** With all groups below it: who was given it, by delegation or a cgroup namespace, may have made some. */
export const removeGroupsStep = (directory: string, doing: string): Step => ({
  call: 'remove_tree',
  args: [directory],
  allow: ['ENOENT'],
  doing,
});

export const reportStep = (file: string): Step => ({ call: 'report_file', args: [file], doing: `read ${file}` });
