// OCI's `seccomp.listenerPath`: the descriptor that answers for SCMP_ACT_NOTIFY goes to an agent's socket, with the container's state.
// <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#the-container-process-state>
import { InvalidArgumentError } from '@ctr/internal/errors';
import { type Fd, type OciSeccomp, type SeccompFilter, seccompAsks, sendFds } from '@ctr/namespaces';
import { compiledFilter } from './seccomp.js';
import type { OciSpec } from './types.js';

/** Whose filter it is: a container's first process, while it is made, or a further one. */
export interface FilterOwner {
  readonly id: string;
  /** Of the container's first process; `undefined` while it is made. */
  readonly pid?: number | undefined;
}

/** A filter that is loaded once, and what becomes of its listener. */
export interface LoadedFilter {
  /** For spawn() and enter(); `undefined`: no filter. */
  readonly filter: SeccompFilter | Uint8Array | undefined;
  /** Resolves once the agent has the listener, at once where there is none. @throws SyscallError what the socket said. */
  sent(): Promise<void>;
  /** Fires when it cannot be sent: the process may already wait for an answer. */
  readonly unsent?: AbortSignal;
}

/** What gives a start up: the caller's signal, and an agent that is away. */
export const eitherSignal = (signal: AbortSignal | undefined, { unsent }: LoadedFilter): AbortSignal | undefined =>
  signal && unsent ? AbortSignal.any([signal, unsent]) : (unsent ?? signal);

/** True for a profile whose listener goes to a socket, which is each start's own affair. */
export const hasListenerPath = (profile: unknown): boolean =>
  typeof profile === 'object' && profile !== null && (profile as OciSeccomp).listenerPath !== undefined;

/** The message, in the words of the specification. There is no bundle: the root stands in its place. */
function containerProcessState(oci: OciSpec, profile: OciSeccomp, owner: FilterOwner, pid: number): Buffer {
  const { ociVersion, annotations } = oci;
  return Buffer.from(
    JSON.stringify({
      ociVersion,
      fds: ['seccompFd'],
      pid,
      ...(profile.listenerMetadata === undefined ? {} : { metadata: profile.listenerMetadata }),
      state: {
        ociVersion,
        id: owner.id,
        status: owner.pid === undefined ? 'creating' : 'running',
        pid: owner.pid ?? pid,
        bundle: oci.root.path,
        ...(annotations === undefined ? {} : { annotations }),
      },
    }),
  );
}

const NOTHING_SENT = (): Promise<void> => Promise.resolve();

/**
 * The filter of an OCI object with its flags and, where the profile names a socket, its listener. An agent that cannot be reached fails
 * the start: calls that nobody answers would all be ENOSYS.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a profile that asks and names nobody to ask.
 */
export function loadedFilter(oci: OciSpec, owner: FilterOwner): LoadedFilter {
  const program = compiledFilter(oci);
  const profile = oci.linux.seccomp;
  if (program === undefined || profile === undefined) return { filter: undefined, sent: NOTHING_SENT };
  const { listenerPath, flags } = profile;
  if (!seccompAsks(program)) {
    return { filter: flags === undefined || flags.length === 0 ? program : { program, flags }, sent: NOTHING_SENT };
  }
  if (listenerPath === undefined)
    throw new InvalidArgumentError('seccomp.listenerPath', 'the socket of an agent, since a rule answers SCMP_ACT_NOTIFY', listenerPath);
  let sending: Promise<void> = Promise.resolve();
  const unsent = new AbortController();
  const onListener = (listener: Fd, { pid }: { readonly pid: number }): void => {
    const doing = `hand the seccomp listener to ${listenerPath}`;
    sending = sendFds(listenerPath, containerProcessState(oci, profile, owner, pid), [listener], doing).finally(() => listener.close());
    // Whoever started it hears of it from sent().
    sending.catch(() => unsent.abort());
  };
  return { filter: { program, onListener, ...(flags === undefined ? {} : { flags }) }, sent: () => sending, unsent: unsent.signal };
}

/** Starts what has this filter: its listener must have arrived, else nothing is left of it. */
export async function startFiltered<P extends AsyncDisposable>(loaded: LoadedFilter, start: () => Promise<P>): Promise<P> {
  const process = await start().catch(async (error: unknown) => {
    // Given up because the agent is away: that is the cause.
    await loaded.sent();
    throw error;
  });
  await loaded.sent().catch(async (error: unknown) => {
    await process[Symbol.asyncDispose]();
    throw error;
  });
  return process;
}
