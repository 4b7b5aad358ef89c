// The process part of the OCI object: arguments, environment, ids, capabilities, limits.
import { posix } from 'node:path';
import type { ImageConfig } from '@ctr/image';
import { InvalidArgumentError, UnsupportedError } from '@ctr/internal/errors';
import { clampRlimit, DEFAULT_RLIMITS } from '@ctr/namespaces';
import type { RlimitValue } from '../options/part-options.js';
import type { RunSpec } from '../options/run-schema.js';
import type { ResolvedUser } from '../user/resolve-user.js';
import { capabilitySets, PRESET_CAPABILITIES } from './capabilities.js';
import { DEFAULT_PATH } from './defaults.js';
import type { HostFacts } from './host-facts.js';
import { terminalFields, withTerm } from './terminal.js';
import type { OciProcess, OciRlimit } from './types.js';

/** What 2^64-1, the kernel's "no limit", becomes as a number. */
export const RLIM_INFINITY = 2 ** 64;

/** Docker's rules: an entrypoint given here leaves out the image's command, which was made for the image's entrypoint. */
export function effectiveArgs(spec: Pick<RunSpec, 'command' | 'entrypoint'>, image: ImageConfig = {}): string[] {
  const own = spec.entrypoint !== undefined && spec.entrypoint.length > 0;
  const entrypoint = spec.entrypoint ?? image.Entrypoint ?? [];
  const command = spec.command?.length ? spec.command : own ? [] : (image.Cmd ?? []);
  const args = [...entrypoint, ...command];
  if (args.length === 0)
    throw new InvalidArgumentError('command', 'given: the image names neither a command nor an entrypoint', spec.command);
  return args;
}

/** Image, then options; an undefined value takes a variable away. HOME comes from the image's passwd, as in Docker. */
export function effectiveEnv(
  options: ReadonlyMap<string, string | undefined> | undefined,
  image: ImageConfig | undefined,
  hostname: string | undefined,
  home: string,
): string[] {
  const env = new Map<string, string>([['PATH', DEFAULT_PATH]]);
  if (hostname !== undefined) env.set('HOSTNAME', hostname);
  for (const entry of image?.Env ?? []) {
    const at = entry.indexOf('=');
    if (at > 0) env.set(entry.slice(0, at), entry.slice(at + 1));
  }
  if (!env.has('HOME')) env.set('HOME', home);
  for (const [name, value] of options ?? []) {
    if (value === undefined) env.delete(name);
    else env.set(name, value);
  }
  return [...env].map(([name, value]) => `${name}=${value}`);
}

const limitNumber = (limit: number | 'unlimited'): number => (limit === 'unlimited' ? RLIM_INFINITY : limit);

function rlimit(name: string, value: RlimitValue): OciRlimit {
  const pair = typeof value === 'object' ? value : { soft: value, hard: value };
  return { type: `RLIMIT_${name.toUpperCase()}`, soft: limitNumber(pair.soft), hard: limitNumber(pair.hard) };
}

/** Defaults are cut to what this process may give; what was asked for stays, so that its failure is seen. */
export function rlimits(spec: RunSpec, host: HostFacts): OciRlimit[] {
  const defaults = Object.entries(DEFAULT_RLIMITS).map(([name, limit]): [string, RlimitValue] => [
    name,
    clampRlimit(limit, host.hardLimits[name] ?? Number.POSITIVE_INFINITY),
  ]);
  const wanted = new Map<string, RlimitValue>([...(spec.preset === 'docker' ? [] : defaults), ...(spec.ulimits ?? [])]);
  return [...wanted].map(([name, value]) => rlimit(name, value));
}

export interface ProcessInput {
  spec: RunSpec;
  image: ImageConfig | undefined;
  user: ResolvedUser;
  hostname: string | undefined;
  host: HostFacts;
  /** There is a new user namespace: every capability is to be had in it. */
  ownUser: boolean;
  /** That namespace has one id, and setgroups(2) is denied in it. */
  oneId: boolean;
}

/** The primary group is among them (CVE-2022-36109): a set-gid program that changes it must not lose the old one's denials. */
export const allGroups = (user: ResolvedUser): number[] => [...new Set([user.gid, ...user.groups])];

/**
 * setgroups(2) is denied where a user maps only itself (CVE-2014-8989): groups that the image lists cannot be had there,
 * and those asked for by number are refused.
 */
function additionalGids({ spec, user, host, ownUser, oneId }: ProcessInput): { additionalGids?: number[] } {
  if (!ownUser || host.privileged || !oneId) return { additionalGids: allGroups(user) };
  if (typeof spec.user !== 'object' || user.groups.length === 0) return {};
  throw new UnsupportedError('supplementary groups', 'root: an ordinary user cannot set groups in its user namespace');
}

export function compileProcess(input: ProcessInput): OciProcess {
  const { spec, image, user, hostname, host, ownUser } = input;
  const preset = spec.preset ?? 'sandbox';
  return {
    ...terminalFields(spec.tty),
    user: { uid: user.uid, gid: user.gid, umask: user.umask, ...additionalGids(input) },
    args: effectiveArgs(spec, image),
    env: withTerm(effectiveEnv(spec.env, image, hostname, user.home), spec.tty),
    // The image's may be relative or hold '..': it is resolved from the root, and inside the root by the kernel.
    cwd: spec.cwd ?? posix.join('/', image?.WorkingDir ?? ''),
    capabilities: capabilitySets({
      preset: PRESET_CAPABILITIES[preset],
      add: spec.capabilities?.add ?? [],
      drop: spec.capabilities?.drop ?? [],
      available: ownUser ? undefined : host.capabilities,
      ordinaryUser: user.uid !== 0,
    }),
    rlimits: rlimits(spec, host),
    noNewPrivileges: spec.noNewPrivileges ?? preset === 'sandbox',
    ...(spec.oomScoreAdj === undefined ? {} : { oomScoreAdj: spec.oomScoreAdj }),
  };
}
