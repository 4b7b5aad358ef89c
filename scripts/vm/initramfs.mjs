// The initramfs of the test machine: a static busybox, the modules that reach the host's files, and guest/init.sh.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { cpio } from './cpio.mjs';
import { loadOrder, readModule } from './modules.mjs';

/** The host's files (9p over virtio), the scratch disk (virtio, ext4 and its checksum) and the channel for output; the rest is loaded later. */
const EARLY = ['virtio_pci', '9pnet_virtio', '9p', 'overlay', 'virtio_blk', 'crc32c_generic', 'ext4', 'virtio_console'];

/** Writes the archive to `file`. */
export function writeInitramfs(file, { busybox, modulesDir }) {
  const program = readFileSync(busybox);
  if (program.includes('/lib64/ld-linux')) throw new Error(`${busybox} is not static; on Debian: apt-get install busybox-static`);
  const order = loadOrder(modulesDir, EARLY);
  const files = new Map([
    ['init', readFileSync(new URL('./guest/init.sh', import.meta.url))],
    ['bin/busybox', program],
    ['modules/order', Buffer.from(order.map((_, i) => `${i}.ko\n`).join(''))],
    ...order.map((name, i) => [`modules/${i}.ko`, readModule(path.join(modulesDir, name))]),
  ]);
  writeFileSync(file, cpio(files, ['dev', 'proc', 'sys', 'host', 'disk', 'new']));
}
