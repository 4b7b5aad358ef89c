// A LayerSink that keeps each layer as the tar it is: enough to see what reached the sink, and when.
import { type FileHandle, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { LayerSink, LayerWriter } from '../../src/index.js';

export interface SpoolSink extends LayerSink {
  opened: number;
  ended: number;
  aborted: number;
}

/** `onWrite` may throw, or wait. */
export function spoolSink(onWrite?: (chunk: Uint8Array, bytes: number) => unknown): SpoolSink {
  const sink: SpoolSink = {
    opened: 0,
    ended: 0,
    aborted: 0,
    async open(directory: string): Promise<LayerWriter> {
      sink.opened++;
      const handle: FileHandle = await open(path.join(directory, 'layer.tar'), 'wx');
      let bytes = 0;
      return {
        async write(chunk) {
          bytes += chunk.length;
          await onWrite?.(chunk, bytes);
          await handle.writeFile(chunk);
        },
        async end() {
          sink.ended++;
          await handle.close();
        },
        async abort() {
          sink.aborted++;
          await handle.close();
        },
      };
    },
  };
  return sink;
}

/** The tar that a layer directory of `spoolSink` holds. */
export const spooled = (directory: string): Promise<Buffer> => readFile(path.join(directory, 'layer.tar'));
