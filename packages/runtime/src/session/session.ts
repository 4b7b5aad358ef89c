// What all containers of this Node process share: the record with its lock, the parent cgroup, facts about the host.
// Opened by the first container; the monitor takes it down after the last one, also when Node is killed.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type CgroupHost, type CgroupParent, detectCgroups, openParent } from '@ctr/cgroups';
import { assertLinux, errnoName, SyscallError } from '@ctr/internal/errors';
import { hold, monitorPid, StartError } from '@ctr/namespaces';
import type { HostFacts } from '../oci/host-facts.js';
import { type CollectReport, collect } from './collect.js';
import { dataRoot } from './data-root.js';
import { readHostFacts } from './host-facts.js';
import { makeNetworkFiles, type NetworkFiles } from './network-files.js';
import { cgroupName, describeEnd, describeRecord, type Intent, removeCgroupStep } from './record.js';
import { openRunRoot } from './run-root.js';

export interface Session {
  readonly nonce: string;
  /** Below it are the containers' cgroups; `usable` is false where this user may make none. */
  readonly cgroups: CgroupParent;
  readonly host: HostFacts;
  /** The folder of the session's record. */
  readonly directory: string;
  readonly files: NetworkFiles;
  /** The folder of the session's writable layers on disk; made when the first one is. */
  readonly uppers: string;
  /** The monitor that holds all this. */
  readonly monitor: number | undefined;
  /** What dead sessions had left; settles some time after the session is open. */
  readonly collected: Promise<CollectReport>;
}

/** In the devices hierarchy openParent() makes one more, for the default rules. */
const INNER = '_default-devices';

/**
 * Where openParent() will make the parent, innermost first. Known before it is made, so that whatever interrupts the
 * making, the monitor or a later collector knows what to remove.
 */
export function expectedCgroups(host: CgroupHost, name: string): string[] {
  const all = Object.entries(host.controllers).flatMap(([controller, place]) => {
    if (place.parentDirectory === undefined) return [];
    const directory = path.join(place.parentDirectory, name);
    return controller === 'devices' && place.version === 1 ? [path.join(directory, INNER), directory] : [directory];
  });
  const unified = host.unified === null ? [] : [path.join(host.unified.parentDirectory, name)];
  return [...new Set([...all, ...unified])];
}

interface SessionRecord {
  readonly nonce: string;
  readonly directory: string;
  readonly uppers: string;
  readonly cgroups: readonly string[];
}

const ATTEMPTS = 5;

/** A collector may take a fresh record away before it is locked; another name then. */
async function openRecord(runRoot: string, bootId: string, host: CgroupHost): Promise<SessionRecord> {
  for (let attempt = 1; ; attempt += 1) {
    const nonce = randomBytes(8).toString('hex');
    const directory = path.join(runRoot, nonce);
    const uppers = path.join(dataRoot(), 'containers', nonce);
    const cgroups = expectedCgroups(host, cgroupName(nonce));
    const intent: Intent = { version: 1, nonce, bootId, cgroups, uppers };
    try {
      await hold({
        doing: 'open the container session',
        prepare: describeRecord(directory, intent),
        cleanup: describeEnd(directory, intent),
      });
      return { nonce, directory, uppers, cgroups };
    } catch (error) {
      if (attempt >= ATTEMPTS || !(error instanceof StartError)) throw error;
    }
  }
}

async function open(): Promise<Session> {
  assertLinux('runContainer()');
  const [runRoot, bootId, cgroupHost] = await Promise.all([
    openRunRoot(process.geteuid?.() ?? 0),
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').then((text) => text.trim()),
    detectCgroups(),
  ]);
  const record = await openRecord(runRoot, bootId, cgroupHost);
  const monitor = monitorPid();
  const cgroups = await openParent(cgroupName(record.nonce));
  const [host, files] = await Promise.all([
    readHostFacts(cgroups),
    makeNetworkFiles(record.directory),
    holdOthers(record.cgroups, cgroups),
  ]);
  // Not awaited: remains of others hold up no start.
  const collected = collect(runRoot, bootId, record.nonce).catch(
    (error: Error): CollectReport => ({ removed: [], kept: [{ nonce: '', reason: error.message }] }),
  );
  return { ...record, cgroups, host, files, collected, monitor };
}

/** For a parent that lies elsewhere than was expected: our own cgroup was moved in between. */
async function holdOthers(expected: readonly string[], cgroups: CgroupParent): Promise<void> {
  const others = cgroups.directories.filter((directory) => !expected.includes(directory));
  if (others.length > 0) await hold({ doing: 'open the parent cgroup', prepare: [], cleanup: others.map(removeCgroupStep) });
}

/**
 * Whether an error means that the session is gone: the monitor was killed, and a new one has removed what the old one
 * held. The next start needs a session of its own.
 */
export function lostSession(error: unknown, session: Session): boolean {
  if (error instanceof StartError) {
    const path = error.path ?? '';
    return (
      (error.stage === 'prepare' || error.stage === 'beside') &&
      errnoName(error.errno) === 'ENOENT' &&
      (path.includes(`/${session.cgroups.name}/`) || path.startsWith(session.uppers))
    );
  }
  return error instanceof SyscallError && error.code === 'ECONNRESET';
}

/** Makes the next openSession() open another one. */
export function forgetSession(session: Session): void {
  if (opened !== session) return;
  opened = undefined;
  current = undefined;
}

let opened: Session | undefined;
let current: Promise<Session> | undefined;

/**
 * The session of this process; a failure to open it is not remembered. One whose monitor is gone is being taken down:
 * a container that still went into it would keep its cgroups from being removed.
 */
export function openSession(): Promise<Session> {
  if (opened !== undefined && opened.monitor !== monitorPid()) forgetSession(opened);
  if (current === undefined) {
    const opening = open();
    current = opening;
    opening.then(
      (session) => {
        opened = session;
      },
      () => {
        if (current === opening) current = undefined;
      },
    );
  }
  return current;
}
