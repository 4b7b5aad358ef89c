// Compiles a seccomp profile into the BPF program that the kernel runs before every system call.
//
//   arch is ours? ──no──> foreignArch          number ──tree──> allow
//        │yes                                         ├───────> errno
//        └──> the number, by a tree of comparisons ───┴───────> tests of the arguments ──> …
import { InvalidArgumentError } from '@ctr/internal/errors';
import { AUDIT_ARCH, type SyscallArch, syscallArch, syscallTable, X32_SYSCALL_BIT } from '../syscalls/index.js';
import { ENOSYS, returnValue } from './actions.js';
import { assemble } from './assemble.js';
import { encodeProgram, JMP_JEQ_K, MAX_INSTRUCTIONS, OFFSET_ARCH, OFFSET_NR } from './bpf.js';
import { dispatch, mergeRuns, type Run } from './dispatch.js';
import { resolveDockerProfile } from './docker-profile.js';
import { Graph, type Node } from './graph.js';
import { decision, rulesByName } from './rules.js';
import type { CompileSeccompOptions, OciSeccomp } from './types.js';
import { checkKeys, checkProfile } from './validate.js';

/** Defaults under which a call that nobody has heard of goes to the kernel or the tracer, which answers ENOSYS itself; as in runc. */
const LETS_UNKNOWN_PASS: readonly string[] = ['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE'];

/** -1 is no call: a tracer writes it to skip one. */
const SKIPPED_BY_TRACER = 0xffffffff;

/** The verdicts from number 0 to 2^32-1, before equal neighbours are joined. */
function allRuns(graph: Graph, profile: OciSeccomp, arch: SyscallArch): Run[] {
  const fallback = graph.ret(returnValue(profile.defaultAction, profile.defaultErrnoRet));
  const enosys = graph.ret(returnValue('SCMP_ACT_ERRNO', ENOSYS));
  const table = syscallTable(arch);
  const byName = rulesByName(profile);
  const runs: Run[] = [{ start: 0, verdict: fallback }];
  for (const [name, number] of table) {
    const rules = byName.get(name);
    if (rules) runs.push({ start: number, verdict: decision(graph, rules, fallback) }, { start: number + 1, verdict: fallback });
  }
  const passes = LETS_UNKNOWN_PASS.includes(profile.defaultAction);
  const named = (profile.syscalls ?? []).flatMap((rule) => rule.names.map((name) => table.get(name) ?? -1));
  const newest = named.reduce((a, b) => Math.max(a, b), -1);
  if (!passes && newest >= 0) runs.push({ start: newest + 1, verdict: enosys });
  if (arch === 'x64') runs.push({ start: X32_SYSCALL_BIT, verdict: enosys });
  if (arch === 'x64' && passes) runs.push({ start: SKIPPED_BY_TRACER, verdict: fallback });
  return runs;
}

/** Of runs that begin at the same number the last counts: it was pushed knowing more. */
const lastOfEachStart = (runs: readonly Run[]): Run[] => runs.filter((run, i) => runs[i + 1]?.start !== run.start);

function buildGraph(profile: OciSeccomp, arch: SyscallArch, foreign: 'kill' | 'enosys'): Node {
  const graph = new Graph();
  const runs = mergeRuns(lastOfEachStart(allRuns(graph, profile, arch)));
  const native = graph.load(OFFSET_NR, dispatch(graph, runs));
  const other = graph.ret(foreign === 'kill' ? returnValue('SCMP_ACT_KILL_PROCESS') : returnValue('SCMP_ACT_ERRNO', ENOSYS));
  return graph.load(OFFSET_ARCH, graph.branch(JMP_JEQ_K, AUDIT_ARCH[arch], native, other));
}

/** Compiles a profile that is known to be right and plain OCI; nothing is checked again. */
export function compilePlainProfile(profile: OciSeccomp, arch: SyscallArch, foreign: 'kill' | 'enosys' = 'kill'): Uint8Array {
  const program = assemble(buildGraph(profile, arch, foreign));
  if (program.length <= MAX_INSTRUCTIONS) return encodeProgram(program);
  throw new InvalidArgumentError('seccomp', `a profile of at most ${MAX_INSTRUCTIONS} instructions, the kernel's limit`, program.length);
}

/**
 * Compiles an OCI seccomp object, or a Docker profile, into the bytes of a BPF program: what `struct sock_fprog` points to.
 *
 * Precedence is that of libseccomp and runc: a rule with the default's action changes nothing, a rule without conditions beats
 * those with conditions, and of these the most specific counts. Calls newer than any that the profile names answer ENOSYS, unless
 * the default is ALLOW, LOG or TRACE, so that C libraries fall back to older calls. On x86-64 the x32 calls answer ENOSYS.
 * Names that the architecture does not have are ignored.
 *
 * @returns 8 bytes per instruction. Equal input gives equal bytes.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for anything wrong in the profile or the options, and for a program over
 * the kernel's 4096 instructions.
 * @see <https://man7.org/linux/man-pages/man2/seccomp.2.html>
 * @example
 * const filter = compileSeccomp({
 *   defaultAction: 'SCMP_ACT_ALLOW',
 *   syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 }],
 * })
 */
export function compileSeccomp(profile: OciSeccomp, options: CompileSeccompOptions = {}): Uint8Array {
  checkKeys(options, 'options', ['arch', 'capabilities', 'kernel', 'foreignArch']);
  const arch = syscallArch(options.arch);
  const foreign = options.foreignArch ?? 'kill';
  if (foreign !== 'kill' && foreign !== 'enosys') throw new InvalidArgumentError('foreignArch', "'kill' or 'enosys'", foreign);
  checkProfile(profile);
  return compilePlainProfile(resolveDockerProfile(profile, { ...options, arch }), arch, foreign);
}

/** Names that no architecture known here has: spelling mistakes, or calls of others such as i386. They do nothing in a filter. */
export function unknownSyscallNames(profile: OciSeccomp): string[] {
  checkProfile(profile);
  const named = new Set((profile.syscalls ?? []).flatMap((rule) => rule.names));
  return [...named].filter((name) => !syscallTable('x64').has(name) && !syscallTable('arm64').has(name));
}
