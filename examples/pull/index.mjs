// Pulls an image and shows a bar for each layer while it arrives.
// node index.mjs IMAGE [--platform=linux/arm64] [--all] [--insecure]
import { parseArgs } from 'node:util';
import { ImageStore } from '@ctr/image';
import { Bars } from './bars.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { platform: { type: 'string' }, all: { type: 'boolean' }, insecure: { type: 'boolean' } },
});
const stop = new AbortController();
process.once('SIGINT', () => stop.abort(new Error('interrupted')));

const bars = new Bars(process.stderr);
const store = await ImageStore.open();
try {
  const image = await store.pull(positionals[0] ?? 'debian:12', {
    policy: 'always',
    platform: values.platform,
    allPlatforms: values.all ?? false,
    insecure: values.insecure ?? false,
    signal: stop.signal,
    onProgress: (p) => bars.show(p),
  });
  bars.end();
  console.log(`${image.reference}\n${image.digest}  ${image.platform}, ${image.layers.length} layers`);
} catch (error) {
  bars.end();
  console.error(error.message);
  process.exitCode = error.code === 'ABORT_ERR' ? 130 : 1;
}
