// Loaded before vitest in the test machine. vitest gives a worker 60 seconds to start and its pool 90, which no option changes; under emulation beside
// other tests on the same two processors that is too little, and the run would fail without having run anything.
import { SLOWNESS } from './selection.mjs';

const START_TIMEOUTS = new Set([60_000, 90_000]);
const patient = globalThis.setTimeout;

// Only in the process that waits for workers: they were forked and have a channel.
if (process.send === undefined)
  globalThis.setTimeout = Object.assign(
    (work, delay, ...rest) => patient(work, START_TIMEOUTS.has(delay) ? delay * SLOWNESS : delay, ...rest),
    patient,
  );
