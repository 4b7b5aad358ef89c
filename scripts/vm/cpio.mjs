// Writes a cpio archive in the "newc" form, which is what the kernel unpacks as its initramfs
// (Documentation/driver-api/early-userspace/buffer-format.rst). Needs no root and gives the same bytes for the same input.

const DIRECTORY = 0o040755;
const EXECUTABLE = 0o100755;

const padding = (length) => Buffer.alloc((4 - (length % 4)) % 4);
const hex = (n) => n.toString(16).toUpperCase().padStart(8, '0');

function entry(inode, name, mode, data) {
  const nameBytes = Buffer.from(`${name}\0`);
  // inode, mode, uid, gid, links, mtime, size, device, device, rdev, rdev, name size, checksum
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, nameBytes.length, 0];
  const header = Buffer.from(`070701${fields.map(hex).join('')}`);
  return [header, nameBytes, padding(header.length + nameBytes.length), data, padding(data.length)];
}

/** An archive of `files` (name in the archive -> contents, each executable) and of the folders they lie in, and `directories` beside. */
export function cpio(files, directories = []) {
  const folders = new Set(directories);
  for (const name of files.keys()) for (let d = parent(name); d !== ''; d = parent(d)) folders.add(d);
  const parts = [];
  let inode = 1;
  for (const name of [...folders].sort()) parts.push(...entry(inode++, name, DIRECTORY, Buffer.alloc(0)));
  for (const [name, data] of files) parts.push(...entry(inode++, name, EXECUTABLE, data));
  parts.push(...entry(0, 'TRAILER!!!', 0, Buffer.alloc(0)));
  return Buffer.concat(parts);
}

const parent = (name) => name.slice(0, Math.max(0, name.lastIndexOf('/')));
