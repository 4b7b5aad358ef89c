// The sink that a file of cases runs with: chosen by the test file that imports the cases, before it does.
import type { LayerSink } from '../../src/index.js';
import { spoolSink } from './spool-sink.js';

let make: () => LayerSink = spoolSink;

export const newSink = (): LayerSink => make();

export function runWith(sink: () => LayerSink): void {
  make = sink;
}
