// The cases of hostile.test.ts once more, with layers that are hashed, inflated and written on native threads.
import { describe } from 'vitest';
import { NATIVE_SINKS, nativeLayers } from './support/native-sink.js';
import { runWith } from './support/sink-under-test.js';

const [, [, erofs]] = NATIVE_SINKS as [unknown, (typeof NATIVE_SINKS)[number]];

describe.skipIf(!nativeLayers.ok)(nativeLayers.title('over native threads'), async () => {
  runWith(() => erofs);
  await import('./hostile.test.js');
});
