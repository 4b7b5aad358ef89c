// The cases of hostile.test.ts once more, with layers that are hashed, inflated and written on native threads.
import { describe, it } from 'vitest';
import { NATIVE_SINKS, nativeLayers } from './support/native-sink.js';
import { runWith } from './support/sink-under-test.js';

const [, [, erofs]] = NATIVE_SINKS as [unknown, (typeof NATIVE_SINKS)[number]];
if (nativeLayers.ok) {
  runWith(() => erofs);
  await import('./hostile.test.js');
} else describe.skip(nativeLayers.title('hostile registries, over native threads'), () => void it('runs'));
