// Unpacks blobs by one way of ours: unpack-worker.mjs pipeline|writer erofs|dir DIRECTORY BLOB…   Two layers at once, the largest first.
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import path from 'node:path';
import { createGunzip } from 'node:zlib';
import { openLayerPipeline, openLayerWriter } from '../packages/overlayfs/dist/index.js';

const [how, form, directory, ...blobs] = process.argv.slice(2);
const options = { form, userxattr: false, sync: false };
const BUFFER = { highWaterMark: 1 << 20 };

async function byPipeline(blob, place) {
  const layer = openLayerPipeline(place, options);
  for await (const chunk of createReadStream(blob, BUFFER)) await layer.write(chunk);
  await layer.end();
}

/** Both digests too, as a pull needs them. */
async function byWriter(blob, place) {
  const [whole, diff] = [createHash('sha256'), createHash('sha256')];
  const layer = openLayerWriter(place, options);
  const source = createReadStream(blob, BUFFER);
  source.on('data', (chunk) => whole.update(chunk));
  for await (const chunk of source.pipe(createGunzip({ chunkSize: 256 * 1024 }))) {
    diff.update(chunk);
    await layer.write(chunk);
  }
  await layer.end();
}

const work = how === 'pipeline' ? byPipeline : byWriter;
const queue = blobs.map((blob, i) => ({ blob, place: path.join(directory, `${i}`), size: statSync(blob).size }));
queue.sort((a, b) => b.size - a.size);
const one = async () => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) await work(next.blob, next.place);
};
await Promise.all([one(), one()]);
