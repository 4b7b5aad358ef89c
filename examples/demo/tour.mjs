// The tour: one image, then what a container of it sees, may use, writes, and costs.
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { ImageStore } from '@ctr/image';
import { checkHost, runContainer } from '@ctr/runtime';
import { nodeImage } from './node-image.mjs';
import { whatIsLeft, whatItCost } from './sections/cost.mjs';
import { itsOwnFiles } from './sections/files.mjs';
import { itsOwnLimits } from './sections/limits.mjs';
import { itsOwnWorld } from './sections/world.mjs';
import { bad, good, mib, ms, note, row, section, text, title } from './show/page.mjs';

/** A user without a home of its own gets a store in the temporary folder. */
async function openStore() {
  try {
    return await ImageStore.open();
  } catch (error) {
    if (error.code !== 'EACCES' && error.code !== 'ENOENT' && error.code !== 'EROFS') throw error;
    return ImageStore.open({ root: path.join(tmpdir(), `ctr-demo-${process.getuid()}`) });
  }
}

const CGROUPS = { unified: 'cgroup v2', hybrid: 'cgroups v1 and v2', legacy: 'cgroup v1', none: 'no cgroups' };

function introduce(host) {
  const who = host.privileged ? 'root' : `user ${host.uid}, without root`;
  title(
    '@ctr: Linux containers inside this Node process',
    `Node ${process.version}, process ${process.pid}, ${who}, Linux ${host.kernel}, ${CGROUPS[host.cgroups]}`,
  );
}

/** What keeps containers from running here at all. */
function refuse(host) {
  section('This host cannot run containers yet');
  for (const [name, f] of Object.entries(host.features)) {
    if (f.ok) continue;
    bad(`${name}: ${f.why}`);
    if (f.cure) note(`  ${f.cure}`);
  }
  process.exitCode = 1;
}

async function makeImage(store) {
  section('An image out of this machine’s own Node');
  text('Making it …');
  const before = performance.now();
  const facts = await nodeImage(store);
  const took = performance.now() - before;
  row('files', `${facts.node}, its loader and libraries: ${facts.libraries + 1} files, ${mib(facts.bytes)}`);
  row('image', facts.reference);
  row('digest', facts.image.digest);
  row('layers', facts.image.layers.map((l) => `${l.diffId.slice(0, 19)}… ${mib(l.size)}`).join('   '));
  row('store', `${store.root}, an OCI image layout that skopeo and others read`);
  good(facts.made ? `made in ${ms(took)}` : `there already, found in ${ms(took)}`);
  return facts.image;
}

export async function tour() {
  const host = await checkHost();
  introduce(host);
  if (!host.ok) return refuse(host);
  const store = await openStore();
  const image = await makeImage(store);
  /** Starts of the whole tour: [what, milliseconds]. */
  const starts = [];
  /** Starts one, lets `use` see it, and puts it away: what `await using` does, which this Node's JavaScript lacks. */
  const run = async (what, options, use) => {
    const before = performance.now();
    const container = await runContainer({ image, store, ...options });
    starts.push([what, performance.now() - before]);
    try {
      return await use(container);
    } finally {
      await container[Symbol.asyncDispose]();
    }
  };
  // The first start unpacks the layers and starts the launcher: shown apart from the others.
  await run('the first', { command: ['-e', ''] }, (container) => container.exited);
  const context = { host, image, store, run, starts };
  await itsOwnWorld(context);
  await itsOwnLimits(context);
  await itsOwnFiles(context);
  await whatItCost(context);
  await whatIsLeft();
}
