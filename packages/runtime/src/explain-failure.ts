// Looks closer after a failed start: execve's ENOENT means a missing program, or one whose interpreter or loader is
// missing, and only the file itself can tell.
import { errnoName } from '@ctr/internal/errors';
import { StartError } from '@ctr/namespaces';
import { readFileInRoot } from '@ctr/overlayfs';
import { addHint } from './add-hint.js';
import type { OciSpec } from './oci/types.js';
import type { PreparedRoot } from './prepare-root.js';

/** Enough for the program headers of every usual ELF file and for the first line of a script. */
const MAX_PROGRAM = 512 * 2 ** 20;
const HEADERS = 64 * 1024;
const PT_INTERP = 3;

/** What a program names as the one that loads it: the interpreter of '#!', or an ELF file's dynamic loader. */
export function loaderOf(program: Buffer): string | undefined {
  if (program.subarray(0, 2).toString('latin1') === '#!') return /^#![ \t]*(\S+)/.exec(program.subarray(0, 256).toString('utf8'))?.[1];
  const is64 = program.length >= 64 && program.readUInt32BE(0) === 0x7f454c46 && program[4] === 2 && program[5] === 1;
  if (!is64) return undefined;
  const [at, size, count] = [Number(program.readBigUInt64LE(32)), program.readUInt16LE(54), program.readUInt16LE(56)];
  for (let header = at; header < at + size * count && header + 56 <= program.length; header += size) {
    if (program.readUInt32LE(header) !== PT_INTERP) continue;
    const [offset, length] = [Number(program.readBigUInt64LE(header + 8)), Number(program.readBigUInt64LE(header + 32))];
    return program.subarray(offset, offset + length - 1).toString('utf8');
  }
  return undefined;
}

function candidates(oci: OciSpec): string[] {
  const program = oci.process.args[0] ?? '';
  if (program.includes('/')) return [program];
  const path = oci.process.env.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? '';
  return path.split(':').map((directory) => `${directory}/${program}`);
}

async function missingProgram(root: PreparedRoot, oci: OciSpec): Promise<string | undefined> {
  const program = oci.process.args[0] ?? '';
  for (const path of candidates(oci)) {
    const file = await readFileInRoot([...root.layers], path.startsWith('/') ? path : `${oci.process.cwd}/${path}`, {
      maxBytes: MAX_PROGRAM,
    }).catch(() => null);
    if (file === null) continue;
    const loader = loaderOf(file.subarray(0, HEADERS));
    return loader === undefined ? undefined : `${path} is there, but what it is run by is not: ${loader}`;
  }
  if (/\s/.test(program)) return `there is no program ${JSON.stringify(program)}; the command is an array, with each argument apart`;
  return program.includes('/')
    ? `there is no ${program} in ${root.label}`
    : `there is no ${program} in ${root.label}, in any folder of its PATH`;
}

/** Returns the error to throw. */
export async function explainFailure(error: unknown, root: PreparedRoot, oci: OciSpec): Promise<unknown> {
  if (!(error instanceof StartError) || error.syscall !== 'execve' || errnoName(error.errno) !== 'ENOENT') return error;
  const hint = await missingProgram(root, oci);
  return hint === undefined ? error : addHint(error, hint);
}
