import { describe, expect, it } from 'vitest';
import type { HostFacts } from '../oci/host-facts.js';
import { readRunOptions } from '../options/read-options.js';
import type { RunOptions } from '../options/run-options.js';
import type { RunSpec } from '../options/run-schema.js';
import { atLeast } from '../session/host-facts.js';
import { reasonForHost } from './default-userns.js';

const HOST = {
  uid: 0,
  gid: 0,
  privileged: true,
  initialUserNamespace: true,
  capabilities: [],
  hardLimits: { nofile: 1000 },
  memoryUpper: true,
  controllers: {},
  cgroup2: true,
} satisfies HostFacts;
const ROOT = { uid: 0, gid: 0, groups: [], home: '/root', umask: 0o022 };

const spec = (options: RunOptions): RunSpec => readRunOptions({ image: 'a', command: ['true'], ...options });
const reason = (options: RunOptions, user = ROOT, host: HostFacts = HOST) => reasonForHost(spec(options), host, user);

describe.skipIf(!atLeast([6, 15]))('the default of userns as root', () => {
  it.each<[string, RunOptions]>([
    ['nothing else', {}],
    ['a capability that is of namespaces', { capabilities: { add: ['NET_ADMIN', 'CAP_SYS_ADMIN'] } }],
    ['lower limits', { ulimits: { nofile: 1000, nproc: 'unlimited' }, oomScoreAdj: 5 }],
    ['namespaces that are new', { namespaces: { ipc: 'new' }, network: 'none' }],
  ])('is one of its own with %s', (_, options) => expect(reason(options)).toBeUndefined());

  it.each<[string, RunOptions]>([
    ['it has the host’s network', { network: 'host' }],
    ['it shares namespaces', { namespaces: { uts: '/proc/1/ns/uts' } }],
    ['it was given rights over the machine', { capabilities: { add: ['sys_module'] } }],
    ['it was given rights over the machine', { capabilities: { add: ['ALL'] } }],
    ['only the host’s root may lower oom_score_adj', { oomScoreAdj: -1 }],
    ['only the host’s root may raise limits', { ulimits: { nofile: { soft: 10, hard: 1001 } } }],
    ['only the host’s root may raise limits', { ulimits: { nofile: 'unlimited' } }],
    ['Docker does so', { preset: 'docker' }],
  ])('is the host’s, because %s: %j', (why, options) => expect(reason(options)).toBe(why));

  it('is the host’s for a user above the range, for the machine’s own tree, and in a user namespace', () => {
    expect(reason({}, { ...ROOT, gid: 65_536 })).toBe('its user is above the range of ids');
    expect(reasonForHost(readRunOptions({ rootfs: 'host', command: ['true'] }), HOST, ROOT)).toBe(
      'the machine’s own tree cannot be shown with mapped ids',
    );
    expect(reason({}, ROOT, { ...HOST, initialUserNamespace: false })).toBe('this process is in a user namespace already');
  });
});
