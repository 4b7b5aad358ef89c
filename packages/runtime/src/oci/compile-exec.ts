// The OCI process object of a further program in a running container. Everything comes from the container's own
// configuration and from the call, nothing from inside (CVE-2022-1227: policy read from the container).
import type { ExecSpec } from '../options/run-schema.js';
import type { ResolvedUser } from '../user/resolve-user.js';
import { allGroups } from './process.js';
import { terminalFields, withTerm } from './terminal.js';
import type { OciProcess } from './types.js';

type Sets = NonNullable<OciProcess['capabilities']>;

/** Root gets the container's bounding set; others what the container's own ordinary user was given by name. */
function capabilitiesFor(container: Sets | undefined, user: ResolvedUser): Sets | undefined {
  if (container === undefined) return undefined;
  const { bounding = [], ambient = [] } = container;
  if (user.uid === 0) return { bounding, effective: bounding, permitted: bounding, inheritable: [], ambient: [] };
  return { bounding, effective: ambient, permitted: ambient, inheritable: ambient, ambient };
}

function environment(container: readonly string[], added: ExecSpec['env'], home: string | undefined): string[] {
  const env = new Map(container.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));
  if (home !== undefined) env.set('HOME', home);
  for (const [name, value] of added ?? []) {
    if (value === undefined) env.delete(name);
    else env.set(name, value);
  }
  return [...env].map(([name, value]) => `${name}=${value}`);
}

/** `user` is undefined when the call names none: then it is the container's. */
export function compileExec(container: OciProcess, command: readonly string[], spec: ExecSpec, user: ResolvedUser | undefined): OciProcess {
  // Where the container's process could be given groups, so can this one.
  const groups = user === undefined || container.user.additionalGids === undefined ? {} : { additionalGids: allGroups(user) };
  const capabilities = user === undefined ? container.capabilities : capabilitiesFor(container.capabilities, user);
  // The terminal is the call's own affair.
  const { consoleSize: _, ...inherited } = container;
  return {
    ...inherited,
    ...(spec.tty || container.terminal ? terminalFields(spec.tty) : {}),
    args: [...command],
    env: withTerm(environment(container.env, spec.env, user?.home), spec.tty),
    cwd: spec.cwd ?? container.cwd,
    ...(user === undefined ? {} : { user: { uid: user.uid, gid: user.gid, umask: user.umask, ...groups } }),
    ...(capabilities === undefined ? {} : { capabilities }),
  };
}
