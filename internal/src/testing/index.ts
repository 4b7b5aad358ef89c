// Tools for the tests of all packages; never part of what is published.
export { loadProfiles } from './apparmor.js';
export { host, type Need, need } from './host.js';
export { type LeakCheck, type LeakCheckOptions, leakCheck } from './leaks.js';
export type { Probe } from './probes.js';
export { descendants, descriptors, mounts, type OwnCgroup, ownCgroups, type ProcessFacts, processes } from './procfs.js';
export { rounds, slowness } from './slowness.js';
export { makeTempDir, removeTempDir, TEMP_PREFIX } from './temp.js';
