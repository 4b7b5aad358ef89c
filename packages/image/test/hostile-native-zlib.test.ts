// The cases of hostile.test.ts over native threads that inflate by zlib, as they do where ISA-L is not.
import { describe } from 'vitest';
import { NATIVE_SINKS, nativeLayers } from './support/native-sink.js';
import { runWith } from './support/sink-under-test.js';

const [, , [, zlib]] = NATIVE_SINKS as [unknown, unknown, (typeof NATIVE_SINKS)[number]];

describe.skipIf(!nativeLayers.ok)(nativeLayers.title('over native threads, by zlib'), async () => {
  runWith(() => zlib);
  await import('./hostile.test.js');
});
