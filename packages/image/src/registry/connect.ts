// From options to clients: who speaks to which registry with which credentials.
import type { RegistryOptions } from '../options.js';
import type { Reference } from '../reference.js';
import { RegistryClient } from './client.js';
import { credentialFiles, type FoundCredentials, findCredentials } from './credentials.js';
import type { IdleLines } from './idle-lines.js';
import type { OnWait } from './retry.js';
import type { TokenCache } from './token.js';

export interface Connect {
  reference: Reference;
  options: RegistryOptions;
  tokens: TokenCache;
  /** Undefined: no connection outlives its client. */
  lines?: IdleLines | undefined;
  /** What will be done: `pull`, `pull,push`, `pull,delete`. */
  actions: string;
  signal: AbortSignal;
  onWait?: OnWait | undefined;
}

/** A client for the registry that the reference names. */
export async function connect({ reference, options, tokens, lines, actions, signal, onWait }: Connect): Promise<RegistryClient> {
  const { auth, insecure = false } = options;
  const credentials =
    auth === undefined
      ? await findCredentials(reference.registry, reference.repository, credentialFiles(), signal)
      : { auth: auth === false ? undefined : auth, helper: undefined };
  const ownInsecure = Array.isArray(insecure) ? names(insecure, reference.registry) : insecure;
  return make(reference, credentials, ownInsecure, { options, tokens, lines, actions, onWait });
}

/** Clients for the mirrors of a registry, in their order. */
export async function connectMirrors({ reference, options, tokens, signal, onWait }: Connect): Promise<RegistryClient[]> {
  const mirrors = options.mirrors?.[reference.registry] ?? [];
  return Promise.all(
    mirrors.map(async (mirror) => {
      const { registry, prefix } = splitMirror(mirror);
      const there = { ...reference, registry, name: `${registry}/${prefix}${reference.name.slice(reference.registry.length + 1)}` };
      // SECURITY: the mirror has credentials of its own or none; those of the registry it stands for never go there.
      const credentials: FoundCredentials =
        options.auth === false
          ? { auth: undefined, helper: undefined }
          : await findCredentials(registry, `${prefix}${reference.repository}`, credentialFiles(), signal);
      const insecure = Array.isArray(options.insecure) && names(options.insecure, registry);
      // Certificates of the registry are not those of the mirror: that has a directory in certs.d.
      const { tls: _, ...rest } = options;
      return make(there, credentials, insecure, { options: rest, tokens, actions: 'pull', prefix, onWait });
    }),
  );
}

const names = (list: readonly string[], registry: string): boolean => list.some((host) => host.toLowerCase() === registry);

/** `host[:port]`, with a path behind it where the mirror keeps its copies below one. */
function splitMirror(mirror: string): { registry: string; prefix: string } {
  const slash = mirror.indexOf('/');
  if (slash < 0) return { registry: mirror.toLowerCase(), prefix: '' };
  return { registry: mirror.slice(0, slash).toLowerCase(), prefix: `${mirror.slice(slash + 1)}/` };
}

function make(
  reference: Reference,
  credentials: FoundCredentials,
  insecure: boolean,
  o: Pick<Connect, 'options' | 'tokens' | 'lines' | 'actions' | 'onWait'> & { prefix?: string },
): RegistryClient {
  const { trustedOrigins = [], retry = {}, idleTimeoutMs = 60_000, proxy, tls } = o.options;
  return new RegistryClient({
    reference,
    credentials,
    insecure,
    trustedOrigins,
    retry,
    onWait: o.onWait,
    idleTimeoutMs,
    tokens: o.tokens,
    lines: o.lines,
    actions: o.actions,
    proxy,
    tls,
    prefix: o.prefix ?? '',
  });
}
