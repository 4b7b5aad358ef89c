// Asks a docker credential helper: a program that keeps passwords in a keychain or gets short-lived ones from a cloud.
import { execFile } from 'node:child_process';
import { Json } from '../document/json.js';
import type { RegistryAuth } from './credentials.js';

/** What a helper said. `problem` is set when it could not be asked or gave nonsense; a missing entry is none. */
export interface HelperAnswer {
  auth: RegistryAuth | undefined;
  problem: string | undefined;
}

/** Helpers may ask a person, a smart card or a cloud; docker waits for ever. */
const TIMEOUT_MS = 60_000;
const MAX_ANSWER = 1024 * 1024;
/** As user name: the secret is an identity token. */
const IDENTITY = '<token>';

/**
 * Runs `docker-credential-NAME get` with the server on its input.
 *
 * @param server - As docker calls it: `https://index.docker.io/v1/` for Docker Hub, else `host[:port]`.
 * @see https://docs.docker.com/reference/cli/docker/login/#credential-helper-protocol
 */
export async function askHelper(name: string, server: string, signal: AbortSignal): Promise<HelperAnswer> {
  // SECURITY: it becomes the name of a program that PATH is searched for, so no part of it may be a path.
  if (!/^[A-Za-z0-9._-]{1,100}$/.test(name)) return { auth: undefined, problem: 'its name is not fit for a program' };
  const { output, problem } = await run(`docker-credential-${name}`, server, signal);
  if (problem !== undefined) return { auth: undefined, problem };
  try {
    const json = Json.parse(output, 'answer of the helper').object();
    const [username, secret] = [json.get('Username').string(), json.get('Secret').string()];
    if (username === '' || secret === '') return { auth: undefined, problem: undefined };
    return { auth: username === IDENTITY ? { identityToken: secret } : { username, password: secret }, problem: undefined };
  } catch {
    // SECURITY: what it printed may hold a secret, so nothing of it is repeated.
    return { auth: undefined, problem: 'it gave no JSON with Username and Secret' };
  }
}

function run(program: string, input: string, signal: AbortSignal): Promise<{ output: Buffer; problem: string | undefined }> {
  return new Promise((resolve) => {
    const options = { signal, timeout: TIMEOUT_MS, killSignal: 'SIGKILL' as const, maxBuffer: MAX_ANSWER, encoding: 'buffer' as const };
    const child = execFile(program, ['get'], options, (error, stdout) => {
      // Helpers fail with this sentence on standard output when they have nothing for the server.
      if (error === null || /credentials not found/i.test(stdout.toString('latin1'))) {
        return resolve({ output: error === null ? stdout : NOTHING, problem: undefined });
      }
      resolve({ output: stdout, problem: describe(error) });
    });
    // A helper that does not read its input must not end this process by EPIPE.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

const NOTHING = Buffer.from('{"Username":"","Secret":""}');

function describe(error: Error & { code?: unknown; killed?: boolean }): string {
  if (error.code === 'ENOENT') return 'it is not installed';
  if (error.killed) return `it did not answer within ${TIMEOUT_MS / 1000} s`;
  return typeof error.code === 'number' ? `it ended with status ${error.code}` : `it could not be run (${String(error.code)})`;
}
