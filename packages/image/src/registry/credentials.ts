// Finds the user's credentials for one registry in the files that docker and podman write at login.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { ImageError, syscallErrorFrom } from '@ctr/internal/errors';
import { Json } from '../document/json.js';
import { askHelper } from './credential-helper.js';

/** Credentials for a registry. They are sent to its own origin and to the token server it names, nowhere else. */
export type RegistryAuth =
  | { username: string; password: string }
  /** A refresh token from an interactive login: exchanged for short-lived ones. */
  | { identityToken: string }
  /** Sent as it is. */
  | { bearerToken: string };

export interface FoundCredentials {
  auth: RegistryAuth | undefined;
  /** A credential helper is configured for this registry and gave nothing: named in the hint when the registry refuses us. */
  helper: string | undefined;
  /** Why the helper gave nothing; undefined when it has no entry. */
  problem?: string | undefined;
  /** A file that this user may not read: named in the hint when the registry refuses us. */
  unreadable?: string | undefined;
}

const MAX_FILE = 1024 * 1024;
const HUB_KEY = 'https://index.docker.io/v1/';

/** The files in the order in which docker and podman look at them; the first that knows the registry wins. */
export function credentialFiles(env: NodeJS.ProcessEnv = process.env, home: string = homedir()): string[] {
  const files = [
    env['REGISTRY_AUTH_FILE'],
    env['DOCKER_CONFIG'] && path.join(env['DOCKER_CONFIG'], 'config.json'),
    env['XDG_RUNTIME_DIR'] && path.join(env['XDG_RUNTIME_DIR'], 'containers/auth.json'),
    path.join(env['XDG_CONFIG_HOME'] || path.join(home, '.config'), 'containers/auth.json'),
    path.join(home, '.docker/config.json'),
  ];
  return files.filter((f): f is string => typeof f === 'string' && f !== '');
}

/**
 * Looks a registry up in the given files.
 *
 * @param registry - `host[:port]` as in the reference, `docker.io` for Docker Hub.
 * @param repository - Podman's file may hold keys below a host; the longest that fits wins.
 */
export async function findCredentials(
  registry: string,
  repository: string,
  files: readonly string[],
  signal: AbortSignal = new AbortController().signal,
): Promise<FoundCredentials> {
  let failed: { helper: string; problem: string | undefined } | undefined;
  let unreadable: string | undefined;
  for (const file of files) {
    const bytes = await readSmallFile(file);
    if (bytes === 'denied') unreadable ??= file;
    if (bytes === undefined || bytes === 'denied') continue;
    const json = Json.parse(bytes, `the credentials file ${file}`).object();
    const helper = helperFor(json, registry);
    if (helper !== undefined) {
      const answer = await askHelper(helper, registry === 'docker.io' ? HUB_KEY : registry, signal);
      if (answer.auth !== undefined) return { auth: answer.auth, helper: undefined };
      failed ??= { helper, problem: answer.problem };
    }
    const auth = json.optional('auths', (auths) => bestEntry(auths, registry, repository));
    if (auth !== undefined) return { auth, helper: undefined };
  }
  return { auth: undefined, helper: failed?.helper, problem: failed?.problem, ...(unreadable === undefined ? {} : { unreadable }) };
}

/** Regular files only, without blocking on a FIFO; a missing file is no error, nor one of another user, whose HOME `su` leaves us. */
async function readSmallFile(file: string): Promise<Buffer | 'denied' | undefined> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = await handle.stat();
    if (!stat.isFile() || stat.size > MAX_FILE)
      throw new ImageError('CTR_IMAGE_AUTH', `the credentials file ${file} is not a regular file of at most 1 MiB`);
    return await handle.readFile();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code === 'EACCES') return 'denied';
    throw syscallErrorFrom(error, 'read the registry credentials', { hint: 'pass the auth option, or auth: false to send none' });
  } finally {
    await handle?.close();
  }
}

/** SECURITY: exact host and port, one spelling (CVE-2021-41092): `a.example` is not `a.example.evil`, nor `a.example:8443`. */
function keysFor(registry: string, repository: string): string[] {
  const parts = repository.split('/');
  const names = parts.map((_, i) => `${registry}/${parts.slice(0, parts.length - i).join('/')}`);
  return [...names, registry];
}

/** `https://host/v1/` and `host` are the same key; anything else stays what it is, and so never matches by accident. */
function normalizeKey(key: string): string {
  if ([HUB_KEY, 'https://index.docker.io/v2/', 'index.docker.io', 'registry-1.docker.io'].includes(key)) return 'docker.io';
  const bare = key.replace(/^https?:\/\//, '').replace(/\/(v[12]\/?)?$/, '');
  const slash = bare.indexOf('/');
  return slash < 0 ? bare.toLowerCase() : bare.slice(0, slash).toLowerCase() + bare.slice(slash);
}

function bestEntry(auths: Json, registry: string, repository: string): RegistryAuth | undefined {
  const keys = auths.keys();
  for (const wanted of keysFor(registry, repository)) {
    const key = keys.find((k) => normalizeKey(k) === wanted);
    const auth = key === undefined ? undefined : readEntry(auths.get(key));
    if (auth !== undefined) return auth;
  }
  return undefined;
}

function readEntry(entry: Json): RegistryAuth | undefined {
  const text = (key: string): string => entry.optional(key, (j) => j.string()) ?? '';
  if (text('identitytoken')) return { identityToken: text('identitytoken') };
  if (text('registrytoken')) return { bearerToken: text('registrytoken') };
  if (text('username') && text('password')) return { username: text('username'), password: text('password') };
  const decoded = Buffer.from(text('auth'), 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = decoded.indexOf(':');
  return colon < 1 ? undefined : { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

/** A helper of this registry's own goes before the one for all (docker's order). */
function helperFor(json: Json, registry: string): string | undefined {
  const own = json.optional('credHelpers', (j) => j.record((v) => v.string())) ?? {};
  const key = Object.keys(own).find((k) => normalizeKey(k) === registry);
  return key === undefined ? json.optional('credsStore', (j) => j.string()) : own[key];
}
