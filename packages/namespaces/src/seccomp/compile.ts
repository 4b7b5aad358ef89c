// Compiles a seccomp profile into the BPF program that the kernel runs before every system call.
//
//   arch is ours? ──no──> opened by the profile? ──no──> foreignArch
//        │yes                    │yes
//        └──> the number, by a tree of comparisons ──> allow, errno, tests of the arguments ──> …
import { InvalidArgumentError } from '@ctr/internal/errors';
import {
  AUDIT_ARCH,
  AUDIT_ARCH_COMPAT,
  conventionTable,
  SYSCALL_CONVENTIONS,
  type SyscallArch,
  type SyscallConvention,
  syscallArch,
  X32_SYSCALL_BIT,
} from '../syscalls/index.js';
import { ENOSYS, returnValue } from './actions.js';
import { assemble } from './assemble.js';
import { encodeProgram, JMP_JEQ_K, MAX_INSTRUCTIONS, OFFSET_ARCH, OFFSET_NR } from './bpf.js';
import { openedConventions } from './conventions.js';
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

/** Where the private calls of 32-bit arm begin, far above all others. */
const ARM_PRIVATE = 0xf0000;

/** What holds for every number of a filter. */
interface Answers {
  readonly graph: Graph;
  readonly fallback: Node;
  readonly enosys: Node;
  /** Numbers that nobody has heard of go on to the kernel. */
  readonly unknownPass: boolean;
}

function answersOf(profile: OciSeccomp): Answers {
  const graph = new Graph();
  return {
    graph,
    fallback: graph.ret(returnValue(profile.defaultAction, profile.defaultErrnoRet)),
    enosys: graph.ret(returnValue('SCMP_ACT_ERRNO', ENOSYS)),
    unknownPass: LETS_UNKNOWN_PASS.includes(profile.defaultAction),
  };
}

/** The verdicts on the numbers of one convention, from its first on. */
function runsOf(profile: OciSeccomp, convention: SyscallConvention, { graph, fallback, enosys, unknownPass }: Answers): Run[] {
  const table = conventionTable(convention);
  const byName = rulesByName(profile, convention);
  const known = (profile.syscalls ?? []).flatMap((rule) => rule.names.map((name) => table.get(name) ?? -1));
  const newest = known.reduce((a, b) => (b < ARM_PRIVATE || convention !== 'arm' ? Math.max(a, b) : a), -1);
  const stops = !unknownPass && newest >= 0;
  const runs: Run[] = [{ start: convention === 'x32' ? X32_SYSCALL_BIT : 0, verdict: fallback }];
  for (const [name, number] of table) {
    const rules = byName.get(name);
    if (!rules) continue;
    const after = stops && number > newest ? enosys : fallback;
    runs.push({ start: number, verdict: decision(graph, rules, fallback) }, { start: number + 1, verdict: after });
  }
  if (stops) runs.push({ start: newest + 1, verdict: enosys });
  return runs;
}

/** In order, one for each start: of those that begin at the same number the last counts, which was pushed knowing more. */
function inOrder(runs: readonly Run[]): Run[] {
  const sorted = runs.toSorted((a, b) => a.start - b.start);
  return mergeRuns(sorted.filter((run, i) => sorted[i + 1]?.start !== run.start));
}

/** The numbers of x86-64, then those of x32, which share its arch. */
function nativeRuns(profile: OciSeccomp, arch: SyscallArch, opened: ReadonlySet<SyscallConvention>, answers: Answers): Run[] {
  const runs = runsOf(profile, arch, answers);
  if (arch !== 'x64') return runs;
  if (opened.has('x32')) runs.push(...runsOf(profile, 'x32', answers));
  else runs.push({ start: X32_SYSCALL_BIT, verdict: answers.enosys });
  if (answers.unknownPass) runs.push({ start: SKIPPED_BY_TRACER, verdict: answers.fallback });
  return runs;
}

function buildGraph(profile: OciSeccomp, arch: SyscallArch, foreign: 'kill' | 'enosys'): Node {
  const answers = answersOf(profile);
  const { graph, enosys } = answers;
  const opened = openedConventions(profile, arch);
  const byNumber = (runs: readonly Run[]): Node => graph.load(OFFSET_NR, dispatch(graph, inOrder(runs)));
  const compat: SyscallConvention = arch === 'x64' ? 'x86' : 'arm';
  let other = foreign === 'kill' ? graph.ret(returnValue('SCMP_ACT_KILL_PROCESS')) : enosys;
  if (opened.has(compat)) other = graph.branch(JMP_JEQ_K, AUDIT_ARCH_COMPAT[arch], byNumber(runsOf(profile, compat, answers)), other);
  return graph.load(OFFSET_ARCH, graph.branch(JMP_JEQ_K, AUDIT_ARCH[arch], byNumber(nativeRuns(profile, arch, opened, answers)), other));
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
 * the default is ALLOW, LOG or TRACE, so that C libraries fall back to older calls. Names that the architecture does not have are
 * ignored. `architectures` and `archMap` open the 32-bit calls of i386, x32 and arm to the same rules; else those of x32 answer ENOSYS
 * and the others meet `foreignArch`. There only the low 32 bits of arguments count, and socketcall(2) and ipc(2) of i386, whose
 * arguments no filter can see, get the strictest answer of a call whose rules have conditions.
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

/** Names that no architecture and no 32-bit convention known here has: spelling mistakes, or calls of others. They do nothing in a filter. */
export function unknownSyscallNames(profile: OciSeccomp): string[] {
  checkProfile(profile);
  const named = new Set((profile.syscalls ?? []).flatMap((rule) => rule.names));
  return [...named].filter((name) => SYSCALL_CONVENTIONS.every((convention) => !conventionTable(convention).has(name)));
}
