// Debian's stock kernel for the test machine: fetched once from the machine's own apt sources, checked, unpacked into .tools/vm/.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { StepFailed, say, step } from '../progress.mjs';
import { tools } from '../setup.mjs';
import { find } from '../tools.mjs';

const cache = path.join(tools, 'vm');
/** Depends on the current stock kernel; not its "-cloud" flavour, which lacks 9p. */
const META = 'linux-image-amd64';
/** Three quarters of the package; no hardware that qemu shows us needs them. */
const LEFT_OUT = [
  'sound',
  'drivers/gpu',
  'drivers/media',
  'drivers/infiniband',
  'drivers/net/ethernet',
  'drivers/net/wireless',
  'drivers/scsi',
];

/** The kernel, fetched when it is not there yet: { release, image, modulesDir }. */
export async function ensureKernel() {
  const there = findKernel();
  if (there !== undefined) return there;
  mkdirSync(cache, { recursive: true });
  const work = path.join(cache, `.fetch-${process.pid}`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  try {
    const deb = await download(work);
    await unpack(deb, path.join(work, 'kernel'));
    publish(path.join(work, 'kernel'), path.join(cache, 'kernel'));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return findKernel();
}

function findKernel() {
  const dir = path.join(cache, 'kernel');
  const image = existsSync(path.join(dir, 'boot')) ? readdirSync(path.join(dir, 'boot')).find((f) => f.startsWith('vmlinuz-')) : undefined;
  if (image === undefined) return undefined;
  const release = image.slice('vmlinuz-'.length);
  return { release, image: path.join(dir, 'boot', image), modulesDir: path.join(dir, 'lib/modules', release) };
}

async function download(work) {
  let name = currentPackage();
  if (name === undefined && process.getuid?.() === 0) {
    await step('read the package lists', 'apt-get', ['-qq', 'update']).catch((e) => say(`  ${e.message.split('\n')[0]}`));
    name = currentPackage();
  }
  if (name === undefined)
    throw new StepFailed(`apt knows no package ${META}: the kernel comes from Debian; "apt-get update" reads its lists`);
  await step(`fetch Debian's kernel (${name})`, 'apt-get', ['-o', 'Acquire::Retries=3', '-qq', 'download', name], {
    cwd: work,
    cure: 'Do the sources of apt answer? "apt-get update" tells.',
  });
  const deb = readdirSync(work).find((f) => f.endsWith('.deb'));
  if (deb === undefined) throw new StepFailed(`apt-get download ${name} left no package in ${work}`);
  checkSum(path.join(work, deb), name);
  return path.join(work, deb);
}

function apt(...args) {
  const { stdout, status } = spawnSync('apt-cache', args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
  return status === 0 ? stdout : '';
}

/** linux-image-amd64 -> linux-image-6.1.0-NN-amd64 */
const currentPackage = () => /^\s*Depends: (linux-image-\d\S*)$/m.exec(apt('depends', META))?.[1];

/** Against the sums of the package lists, whose signature apt has checked. */
function checkSum(deb, name) {
  const sums = [...apt('show', name).matchAll(/^SHA256: ([0-9a-f]{64})$/gm)].map((m) => m[1]);
  const sum = createHash('sha256').update(readFileSync(deb)).digest('hex');
  if (!sums.includes(sum))
    throw new StepFailed(`${path.basename(deb)} has the sum ${sum}, the package lists say ${sums.join(' or ') || 'nothing'}`);
}

async function unpack(deb, to) {
  mkdirSync(to);
  const exclude = LEFT_OUT.map((d) => `--exclude='./lib/modules/*/kernel/${d}'`).join(' ');
  await step('unpack it', 'sh', [
    '-ec',
    // A pipe's status is that of its last command: tar fails too when the stream is cut.
    `dpkg-deb --fsys-tarfile "$1" | tar -x --no-same-owner -C "$2" ${exclude} ./boot ./lib; "$3" -b "$2" "$(ls "$2/lib/modules")"`,
    'sh',
    deb,
    to,
    find('depmod'),
  ]);
}

/** Another run may have been faster: then its kernel is taken. */
function publish(from, to) {
  try {
    renameSync(from, to);
  } catch (error) {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  }
}
