// The smallest image of the kind that the layer writer makes: an empty root directory, blocks of 512 bytes.
// Field offsets as in native/src/erofs_format.h.

const BLOCK = 512;
/** Where the inodes begin, in blocks: behind the first page, like those of a layer with an empty archive. */
const META_BLOCK = 8;
const ROOT_NID = 2;

/** 4,608 bytes. */
export function makeProbeImage(): Buffer {
  const image = Buffer.alloc((META_BLOCK + 1) * BLOCK);
  const superblock = image.subarray(1024);
  superblock.writeUInt32LE(0xe0f5e1e2, 0);
  superblock.writeUInt32LE(2, 8); // inodes have times
  superblock.writeUInt8(9, 12); // 512 = 2^9
  superblock.writeUInt16LE(ROOT_NID, 14);
  superblock.writeBigUInt64LE(1n, 16);
  superblock.writeUInt32LE(META_BLOCK + 1, 36);
  superblock.writeUInt32LE(META_BLOCK, 40);
  const inode = image.subarray(META_BLOCK * BLOCK + ROOT_NID * 32);
  const entries = directory();
  inode.writeUInt16LE(1 | (2 << 1), 0); // long form, content behind the inode
  inode.writeUInt16LE(0o040755, 4);
  inode.writeBigUInt64LE(BigInt(entries.length), 8);
  inode.writeUInt32LE(ROOT_NID, 20);
  inode.writeUInt32LE(2, 44);
  inode.set(entries, 64);
  return image;
}

/** "." and "..", both the root. */
function directory(): Buffer {
  const entries = Buffer.alloc(2 * 12 + 3);
  for (const [i, offset] of [24, 25].entries()) {
    entries.writeBigUInt64LE(BigInt(ROOT_NID), i * 12);
    entries.writeUInt16LE(offset, i * 12 + 8);
    entries.writeUInt8(2, i * 12 + 10);
  }
  entries.write('...', 24);
  return entries;
}
