// ctr-init itself as the first process of a container: it reaps, and passes signals on to the program.
import { named, type Step, type StringList } from '@ctr/internal/steps';
import { AT_FDCWD, atFlags, openFlags } from './flags.js';

/** The slot of the launcher's own program: a sealed file in memory, so that nobody can write to what will run (CVE-2019-5736). */
export const INIT_SLOT = 'init';
const X_OK = named(1, 'X_OK');
const AT_EACCESS = named(0x200, 'AT_EACCESS');

/** While the host's /proc can be seen. */
export const openInit = (): Step => ({
  call: 'openat',
  args: [AT_FDCWD, '/proc/self/exe', openFlags('O_RDONLY', 'O_CLOEXEC')],
  into: INIT_SLOT,
  doing: 'open ctr-init',
});

/** struct sigset_t of the kernel: every signal but the faults that native/init/reaper.cc does not pass on either. */
const PASSED_ON = Buffer.alloc(8, 0xff);
for (const fault of [4, 5, 6, 7, 8, 11, 31])
  PASSED_ON[(fault - 1) >> 3] = (PASSED_ON[(fault - 1) >> 3] as number) & ~(1 << ((fault - 1) & 7));

/** From here on signals wait until ctr-init takes them: what reaches a first process without a handler is lost (pid_namespaces(7)). */
const holdSignals: Step = {
  call: 'rt_sigprocmask',
  args: [named(0, 'SIG_BLOCK'), { bytes: PASSED_ON, text: '~{faults}' }, null, 8],
  doing: 'run ctr-init',
};

/** What it starts: a file of which the first candidate that is there is taken. */
interface InitProgram {
  readonly program: string;
  readonly candidates: readonly string[];
  readonly argv: readonly string[];
  readonly envp: StringList;
}

/**
 * Looks for the program first, so that a missing one is an error of the start and not an exit code; then runs the
 * program in descriptor `number` with what it has to know.
 */
export function executeInit(number: number, { program, candidates, argv, envp }: InitProgram): Step[] {
  const doing = `run ${program}`;
  const list = { strings: ['init', String(candidates.length), ...candidates, ...argv] };
  return [
    ...candidates.map(
      (path, i): Step => ({
        call: 'faccessat2',
        args: [AT_FDCWD, path, X_OK, AT_EACCESS],
        doing,
        path: program,
        ...(i < candidates.length - 1 ? { allow: ['ENOENT', 'ENOTDIR', 'EACCES'], skipOnSuccess: candidates.length - 1 - i } : {}),
      }),
    ),
    holdSignals,
    { call: 'execveat', args: [number, '', list, envp, atFlags('AT_EMPTY_PATH')], doing: 'run ctr-init', path: program },
  ];
}
