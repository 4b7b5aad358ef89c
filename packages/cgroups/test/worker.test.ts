// The addon in worker threads: one that ends while it still watches takes nothing down and leaves nothing open.
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';

const addon = fileURLToPath(new URL('../native/build/Release/ctr_cgroups.node', import.meta.url));
const script = `
  const { eventfd } = require(${JSON.stringify(addon)})
  const { workerData, parentPort } = require('node:worker_threads')
  const { writeSync } = require('node:fs')
  const one = Buffer.alloc(8); one[0] = 1
  const a = eventfd(() => { a.close(); a.close(); parentPort.postMessage('heard'); if (workerData === 'exit') process.exit(0) })
  const b = eventfd(() => {})
  writeSync(a.fd, one)
  if (workerData === 'close') b.close()
`;

describe('the addon', () => {
  const linux = need('linux');
  it.skipIf(!linux.ok)(linux.title('works in several threads at once and ends with them'), async () => {
    expect(existsSync(addon)).toBe(true);
    const run = (workerData: string): Promise<unknown[]> =>
      new Promise((resolve, reject) => {
        const worker = new Worker(script, { eval: true, workerData });
        const heard: unknown[] = [];
        worker.on('message', (m) => {
          heard.push(m);
          // One that still watches does not end by itself.
          if (workerData === 'stay') void worker.terminate();
        });
        worker.on('error', reject);
        worker.on('exit', () => resolve(heard));
      });
    expect(await run('close')).toEqual(['heard']);
    const before = readdirSync('/proc/self/fd').length;
    for (let round = 0; round < 5; round += 1)
      expect(await Promise.all(['close', 'exit', 'stay'].map(run))).toEqual([['heard'], ['heard'], ['heard']]);
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});
