// What all containers of this Node process share: the record with its lock, the parent cgroup, facts about the host.
// Opened by the first container; the monitor takes it down after the last one, also when Node is killed.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type CgroupHost, type CgroupParent, detectCgroups, openParent } from '@ctr/cgroups';
import { assertLinux } from '@ctr/internal/errors';
import { type Hold, hold, StartError } from '@ctr/namespaces';
import type { HostFacts } from '../oci/host-facts.js';
import { collect, type CollectReport } from './collect.js';
import { dataRoot } from './data-root.js';
import { readHostFacts } from './host-facts.js';
import { cgroupName, describeRecord, type Intent, removeTreeStep } from './record.js';
import { openRunRoot } from './run-root.js';

export interface Session {
  readonly nonce: string;
  /** Below it are the containers' cgroups; `usable` is false where this user may make none. */
  readonly cgroups: CgroupParent;
  readonly host: HostFacts;
  /** The folder of the session's record. */
  readonly directory: string;
  /** The folder of the session's writable layers on disk; made when the first one is. */
  readonly uppers: string;
  /** What dead sessions had left; settles some time after the session is open. */
  readonly collected: Promise<CollectReport>;
}

/** Where openParent() will make the parent, so that the record can name it before it is there. */
function expectedCgroups(host: CgroupHost, name: string): string[] {
  const places = [...Object.values(host.controllers).map((c) => c.parentDirectory), host.unified?.parentDirectory];
  return [...new Set(places.flatMap((p) => (p === undefined ? [] : [path.join(p, name)])))];
}

const ATTEMPTS = 5;

/** A collector may take a fresh record away before it is locked; another name then. */
async function openRecord(runRoot: string, bootId: string, host: CgroupHost): Promise<{ nonce: string; directory: string; uppers: string }> {
  for (let attempt = 1; ; attempt += 1) {
    const nonce = randomBytes(8).toString('hex');
    const directory = path.join(runRoot, nonce);
    const uppers = path.join(dataRoot(), 'containers', nonce);
    const intent: Intent = { version: 1, nonce, bootId, cgroups: expectedCgroups(host, cgroupName(nonce)), uppers };
    try {
      await hold({
        doing: 'open the container session',
        prepare: describeRecord(directory, intent),
        cleanup: [removeTreeStep(uppers, 'remove the writable layers'), removeTreeStep(directory, 'remove the session record')],
      });
      return { nonce, directory, uppers };
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
  const cgroups = await openParent(cgroupName(record.nonce));
  const [held, host] = await Promise.all([holdCgroups(cgroups), readHostFacts(cgroups)]);
  holds.push(...held);
  // Not awaited: remains of others hold up no start.
  const collected = collect(runRoot, bootId, record.nonce).catch((error: Error): CollectReport => ({ removed: [], kept: [{ nonce: '', reason: error.message }] }));
  return { ...record, cgroups, host, collected };
}

/** Kept, so that nothing is released while this process lives. */
const holds: Hold[] = [];

async function holdCgroups(cgroups: CgroupParent): Promise<Hold[]> {
  if (!cgroups.usable) return [];
  return [await hold({ doing: 'open the parent cgroup', prepare: [], cleanup: cgroups.describeRemove() })];
}

let current: Promise<Session> | undefined;

/** The session of this process; a failure to open it is not remembered. */
export function openSession(): Promise<Session> {
  if (current === undefined) {
    const opening = open();
    current = opening;
    opening.catch(() => {
      if (current === opening) current = undefined;
    });
  }
  return current;
}
