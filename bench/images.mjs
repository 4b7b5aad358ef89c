// How long images take in and out of the store: commit + push, no-op push and pull, save, load, delete, collection; against skopeo, docker and podman.
// node bench/images.mjs [--rounds=5] [--files=28000] [--only=ours,skopeo,docker,podman] [--out=FILE]     as root: each round has a fresh ext4
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { directoryEntries, ImageStore, packTar } from '../packages/image/dist/index.js';
import { gzipLayer, layerSink, packDirectory, packUpper } from '../packages/overlayfs/dist/index.js';
import { option, say, wanted, write } from './bench.mjs';
import { summary } from './numbers.mjs';
import { podmanEnv } from './pull/peers.mjs';
import { find } from './scratch.mjs';

const ROUNDS = Number(option('rounds', '5'));
const FILES = Number(option('files', '28000'));

/** Everything happens in a mount namespace of its own: what is mounted here goes with this process. */
if (process.env.CTR_BENCH_INSIDE !== '1') {
  if (process.getuid() !== 0) throw new Error('run as root: each round needs a file system of its own');
  const child = spawn('unshare', ['--mount', process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, CTR_BENCH_INSIDE: '1' },
  });
  process.exit(await new Promise((resolve) => child.on('close', resolve)));
}

const dir = mkdtempSync(path.join(tmpdir(), 'ctr-bench-'));
const samples = {};
const children = [];
try {
  const tree = makeTree();
  const registry = await startRegistry();
  await seed(tree, registry);
  const others = { skopeo: [skopeo, 'skopeo'], docker: [dockerPeer, 'dockerd'], podman: [podmanPeer, 'podman'] };
  const peers = [ours];
  for (const [name, [peer, program]] of Object.entries(others)) {
    if (!wanted(name)) continue;
    if (find(program) === undefined) say(`not measured: ${name} is not installed`);
    else peers.push(peer);
  }
  for (let round = 0; round < ROUNDS; round++) {
    // Another order each time: whoever comes first finds a colder machine.
    for (const peer of peers.sort(() => Math.random() - 0.5)) {
      if (!wanted(peer.name.replace('Peer', ''))) continue;
      await onFreshDisk((disk) => peer({ disk, tree, registry, round }));
    }
  }
  report();
} finally {
  for (const child of children.reverse()) await end(child);
  rmSync(dir, { recursive: true, force: true });
}

/** A folder of small files, like node_modules. */
function makeTree() {
  const root = path.join(dir, 'tree');
  for (let i = 0; i < FILES; i++) {
    const folder = path.join(root, `package-${Math.floor(i / 40)}`);
    if (i % 40 === 0) mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, `file-${i}.js`), `// ${i}\nexport const value = ${JSON.stringify('lorem ipsum '.repeat(i % 200))}\n`);
  }
  return { root };
}

async function startRegistry() {
  const address = `127.0.0.1:${20_000 + Math.floor(Math.random() * 20_000)}`;
  const config = path.join(dir, 'registry.yml');
  writeFileSync(
    config,
    `version: 0.1\nlog: { level: error, accesslog: { disabled: true } }\nstorage: { filesystem: { rootdirectory: ${dir}/registry } }\nhttp: { addr: '${address}' }\n`,
  );
  children.push(spawn(find('docker-registry'), ['serve', config], { stdio: 'ignore' }));
  for (let i = 0; i < 100; i++) {
    if (
      await fetch(`http://${address}/v2/`).then(
        (r) => r.ok,
        () => false,
      )
    )
      return address;
    await sleep(50);
  }
  throw new Error('docker-registry did not start');
}

/** An image of the tree for those who only copy. */
async function seed(tree, registry) {
  const store = await ImageStore.open({ root: path.join(dir, 'seed') });
  const name = `${registry}/seed:1`;
  await store.create({ reference: name, layers: [packTar(directoryEntries(tree.root, { mtime: 0 }))] });
  await store.push(name, { auth: false });
}

/** ext4 with a journal on a loop device, made anew: a file system that has deleted much behaves otherwise. */
async function onFreshDisk(work) {
  const image = path.join(dir, 'disk.img');
  const disk = path.join(dir, 'disk');
  execFileSync('truncate', ['-s', '4G', image]);
  execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image]);
  mkdirSync(disk, { recursive: true });
  execFileSync('mount', ['-o', 'loop', image, disk]);
  try {
    execFileSync('sync');
    await work(disk);
  } finally {
    execFileSync('umount', [disk]);
    rmSync(image);
  }
}

/** Wall time in milliseconds, and CPU seconds where they can be told. */
async function timed(who, what, work, cpu = () => undefined) {
  const before = cpu();
  const began = performance.now();
  await work();
  const wall = performance.now() - began;
  const after = cpu();
  const sample = { wall, ...(before === undefined ? {} : { cpu: after - before }) };
  record(who, what, sample);
}

function record(who, what, sample) {
  samples[what] ??= {};
  samples[what][who] ??= [];
  samples[what][who].push(sample);
}

function ownCpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function ours({ disk, tree, registry, round }) {
  const time = (what, work) => timed('ours', what, work, ownCpu);
  const store = await ImageStore.open({ root: path.join(disk, 'store') });
  const name = `${registry}/ours:${round}`;
  const base = await store.create({
    reference: 'localhost/base',
    layers: [packTar([{ type: 'file', path: 'base', content: `${Math.random()}` }])],
  });
  // A container's writable layer, filled from outside as docker's is; other files each round, so that nothing is there already.
  const layer = path.join(disk, 'layer');
  mkdirSync(path.join(layer, 'upper'), { recursive: true });
  execFileSync('cp', ['-a', tree.root, path.join(layer, 'upper', `tree-${round}`)]);
  const lower = path.join(disk, 'lower');
  mkdirSync(lower);
  execFileSync('sync');
  await time('commit + push', async () => {
    await store.commit(base, { reference: name, changes: packUpper(layer, { lower: [lower] }), compressor: gzipLayer });
    await store.push(name, { auth: false });
  });
  const native = { pack: packDirectory, compressor: gzipLayer };
  await time('import of a folder', () => store.import(tree.root, { reference: 'localhost/imported', ...native }));
  await time('import without addon', () => store.import(tree.root, { reference: 'localhost/imported' }));
  await time('push again', () => store.push(name, { auth: false }));
  const archive = path.join(disk, 'saved.tar');
  await time('save', () => store.save(name, archive));
  const fresh = await ImageStore.open({ root: path.join(disk, 'fresh') });
  await time('load, not unpacked', () => fresh.load(archive));
  const sink = layerSink({ form: 'erofs', userxattr: false });
  const unpacked = await ImageStore.open({ root: path.join(disk, 'unpacked') });
  await time('load', async () => {
    for (const image of await unpacked.load(archive)) await unpacked.unpack(image, sink);
  });
  await time('delete', async () => {
    await unpacked.remove(name);
    await unpacked.gc();
  });
  await time('pull', () => unpacked.pull(name, { auth: false, sink }));
  const puller = await ImageStore.open({ root: path.join(disk, 'puller') });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await time('pull, not unpacked', () => puller.pull(name, { auth: false }));
  delay.disable();
  record('ours', 'longest stall in a pull', { wall: delay.max / 1e6 });
  await time('pull again', () => puller.pull(name, { auth: false, policy: 'always' }));
  await time('pull again, offline', () => puller.pull(name, { auth: false }));
  await time('verify', () => puller.verify());
  await puller.remove(name);
  await time('gc', () => puller.gc());
}

async function skopeo({ disk, registry }) {
  const policy = path.join(dir, 'policy.json');
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
  const run = (...args) => execFileSync('skopeo', ['--policy', policy, 'copy', '-q', ...args], { stdio: 'pipe' });
  const from = `docker://${registry}/seed:1`;
  const layout = `oci:${disk}/layout:x`;
  await timed('skopeo', 'pull, not unpacked', () => run('--src-tls-verify=false', from, layout));
  await timed('skopeo', 'pull again', () => run('--src-tls-verify=false', from, layout));
  await timed('skopeo', 'push again', () => run('--dest-tls-verify=false', layout, from));
  await timed('skopeo', 'save', () => run(layout, `oci-archive:${disk}/saved.tar:x`));
  await timed('skopeo', 'load, not unpacked', () => run(`oci-archive:${disk}/saved.tar:x`, `oci:${disk}/loaded:x`));
}

async function dockerPeer({ disk, tree, registry, round }) {
  const socket = mkdtempSync('/tmp/ctr-d-');
  writeFileSync(path.join(socket, 'daemon.json'), JSON.stringify({ 'insecure-registries': [registry] }));
  const args = [
    '--config-file',
    `${socket}/daemon.json`,
    '--iptables=false',
    '--bridge=none',
    '--storage-driver=overlay2',
    '-H',
    `unix://${socket}/s`,
  ];
  const daemon = spawn(find('dockerd'), [...args, '--data-root', `${disk}/docker`, '--exec-root', `${socket}/x`, '-p', `${socket}/pid`], {
    stdio: 'ignore',
  });
  const client = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : find('docker');
  const docker = (...more) =>
    execFileSync(client, ['--config', socket, '-H', `unix://${socket}/s`, ...more], { stdio: 'pipe', encoding: 'utf8' });
  try {
    for (let i = 0; ; i++) {
      if (existsSync(`${socket}/s`)) break;
      if (i > 300) throw new Error('dockerd did not come up');
      await sleep(100);
    }
    const name = `${registry}/docker:${round}`;
    const empty = path.join(disk, 'empty.tar');
    execFileSync('tar', ['-c', '-f', empty, '-T', '/dev/null']);
    docker('import', empty, 'base');
    const id = docker('create', 'base', '/x').trim();
    // As in our case the files come from outside; docker counts only what it does with them.
    docker('cp', tree.root, `${id}:/tree-${round}`);
    await timed('docker', 'commit + push', () => {
      docker('commit', id, name);
      docker('push', '-q', name);
    });
    await timed('docker', 'push again', () => docker('push', '-q', name));
    await timed('docker', 'save', () => docker('save', '-o', `${disk}/saved.tar`, name));
    docker('rm', id);
    docker('rmi', '-f', name);
    await timed('docker', 'load', () => docker('load', '-q', '-i', `${disk}/saved.tar`));
    await timed('docker', 'delete', () => docker('rmi', '-f', name));
    await timed('docker', 'pull', () => docker('pull', '-q', name));
    await timed('docker', 'pull again', () => docker('pull', '-q', name));
  } finally {
    await end(daemon);
    await sleep(500);
    rmSync(socket, { recursive: true, force: true });
  }
}

async function podmanPeer({ disk, tree, registry, round }) {
  const policy = path.join(dir, 'policy.json');
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
  const env = { ...process.env, ...podmanEnv(path.join(disk, 'podman')) };
  const podman = (...args) => execFileSync('podman', args, { stdio: 'pipe', encoding: 'utf8', env });
  const name = `${registry}/podman:${round}`;
  const there = ['-q', '--tls-verify=false', '--signature-policy', policy];
  const empty = path.join(disk, 'empty.tar');
  execFileSync('tar', ['-c', '-f', empty, '-T', '/dev/null']);
  podman('import', '-q', '--signature-policy', policy, empty, 'base');
  const id = podman('create', '--network', 'none', 'base', '/x').trim();
  podman('cp', tree.root, `${id}:/tree-${round}`);
  await timed('podman', 'commit + push', () => {
    podman('commit', '-q', id, name);
    podman('push', ...there, name);
  });
  await timed('podman', 'push again', () => podman('push', ...there, name));
  await timed('podman', 'save', () => podman('save', '-q', '--signature-policy', policy, '-o', `${disk}/podman.tar`, name));
  podman('rm', id);
  podman('rmi', '-f', name);
  await timed('podman', 'load', () => podman('load', '-q', '--signature-policy', policy, '-i', `${disk}/podman.tar`));
  await timed('podman', 'delete', () => podman('rmi', '-f', name));
  await timed('podman', 'pull', () => podman('pull', ...there, name));
  await timed('podman', 'pull again', () => podman('pull', ...there, name));
}

async function end(child) {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await Promise.race([gone, sleep(20_000)]);
  child.kill('SIGKILL');
}

function report() {
  say(`${FILES} files, ${ROUNDS} rounds, medians in milliseconds (CPU seconds); ratio against the fastest of the others in this run`);
  const results = {};
  for (const [what, byPeer] of Object.entries(samples)) {
    results[what] = {};
    const cells = Object.entries(byPeer).map(([who, list]) => {
      const wall = summary(list.map((s) => s.wall));
      const cpu = list[0].cpu === undefined ? undefined : summary(list.map((s) => s.cpu));
      results[what][who] = { wall, ...(cpu ? { cpu } : {}) };
      return `${who} ${wall.p50.toFixed(1)}${cpu ? ` (${cpu.p50.toFixed(2)})` : ''}`;
    });
    const { ours, ...others } = results[what];
    const fastest = Math.min(...Object.values(others).map(({ wall }) => wall.p50));
    if (ours !== undefined && Number.isFinite(fastest)) results[what].ratio = fastest / ours.wall.p50;
    const ratio = results[what].ratio === undefined ? '' : `${results[what].ratio.toFixed(1)}x`;
    say(`${what.padEnd(24)} ${ratio.padStart(7)}   ${cells.join('   ')}`);
  }
  write({ files: FILES, rounds: ROUNDS, results });
}
