// The option `namespaces` and what depends on it, checked before anything is touched.
import { Fd } from '@ctr/internal/fd';
import { NAMESPACE_KINDS } from '../plan/clone-flags.js';
import { checkKeys, fail, object } from '../spawn/check-values.js';
import type { SpawnOptions } from '../spawn/options.js';
import { isJoined } from './join.js';

const WANTED = "'new', 'host', a pid, an absolute path, an Fd or a process";
/** time_namespaces(7): what the kernel takes is an int64 of seconds, of which it wants no more than 292 years. */
const MAX_OFFSET = 9_223_372_036;

const isProcess = (value: unknown): boolean => typeof value === 'object' && value !== null && checkPid((value as { pid?: unknown }).pid);
/** PID_MAX_LIMIT of the kernel. */
const MAX_PID = 4_194_304;
const checkPid = (value: unknown): boolean => Number.isInteger(value) && (value as number) > 0 && (value as number) <= MAX_PID;
const isPath = (value: unknown): boolean => typeof value === 'string' && value.startsWith('/') && !value.includes('\0');

function checkChoice(value: unknown, path: string): void {
  const good = value === 'new' || value === 'host' || Fd.is(value) || checkPid(value) || isPath(value) || isProcess(value);
  if (!good) fail(path, WANTED, value);
}

function checkTimeOffsets(o: SpawnOptions): void {
  if (o.timeOffsets === undefined) return;
  object(o.timeOffsets, 'timeOffsets');
  checkKeys(o.timeOffsets, ['monotonic', 'boottime'], 'timeOffsets');
  for (const [clock, seconds] of Object.entries(o.timeOffsets))
    if (typeof seconds !== 'number' || !(Math.abs(seconds) <= MAX_OFFSET)) fail(`timeOffsets.${clock}`, 'a number of seconds', seconds);
  if (o.namespaces?.time !== 'new') fail('namespaces.time', "'new', since timeOffsets is given", o.namespaces?.time);
}

/** @throws InvalidArgumentError */
export function checkNamespaces(o: SpawnOptions): void {
  const { namespaces: ns = {} } = o;
  object(ns, 'namespaces');
  checkKeys(ns, NAMESPACE_KINDS, 'namespaces');
  for (const [kind, value] of Object.entries(ns)) checkChoice(value, `namespaces.${kind}`);
  const needsMount = (['root', 'mounts', 'devices', 'rootPropagation', 'maskedPaths', 'readonlyPaths', 'readOnlyRoot'] as const).find(
    (k) => o[k] !== undefined && o[k] !== false,
  );
  if (needsMount && ns.mount !== 'new') fail('namespaces.mount', `'new', since ${needsMount} is given`, ns.mount);
  if (o.init && ns.pid !== 'new') fail('namespaces.pid', "'new', since init is given", ns.pid);
  if ((o.hostname !== undefined || o.domainname !== undefined) && ns.uts !== 'new')
    fail('namespaces.uts', "'new', since a host name is given", ns.uts);
  if (o.idMaps && ns.user !== 'new') fail('namespaces.user', "'new', since idMaps is given", ns.user);
  if (o.disableUserNamespaces !== undefined && typeof o.disableUserNamespaces !== 'boolean')
    fail('disableUserNamespaces', 'true or false', o.disableUserNamespaces);
  if (o.disableUserNamespaces && ns.user !== 'new') fail('namespaces.user', "'new', since disableUserNamespaces is given", ns.user);
  if (isJoined(ns.time) && o.timeOffsets !== undefined) fail('timeOffsets', 'left out, since the time namespace is joined', o.timeOffsets);
  checkTimeOffsets(o);
}
