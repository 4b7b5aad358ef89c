// The on-disk structures of EROFS that a layer needs: the kernel's fs/erofs/erofs_fs.h, documented in
// <https://docs.kernel.org/filesystems/erofs.html>. Everything is little-endian; sizes are asserted.
#pragma once
#include <cstdint>

namespace ctr::erofs {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the structures are written as they lie in memory");

/**
 * Blocks of a tar archive, so that a file's content is addressed where it stands in the archive. Any page size can mount
 * them (Linux 6.4: blocks smaller than a page); blocks of 4 KiB could not be mounted where pages are larger either.
 */
inline constexpr uint32_t kBlockBits = 9;
inline constexpr uint32_t kBlockSize = 1u << kBlockBits;
/** Inodes are addressed in units of this size. */
inline constexpr uint32_t kSlot = 32;
/** Zeros for whatever boots there, the superblock, and zeros up to a page: the archive begins here. */
inline constexpr uint64_t kTarStart = 4096;
inline constexpr uint64_t kSuperOffset = 1024;
inline constexpr uint32_t kMagic = 0xE0F5E1E2;
inline constexpr uint32_t kCompatMtime = 0x2;
inline constexpr uint32_t kIncompatChunkedFile = 0x4;
/** In a chunk's place: zeros. */
inline constexpr uint32_t kHole = 0xFFFFFFFF;

struct SuperBlock {
  uint32_t magic;
  uint32_t checksum;
  uint32_t feature_compat;
  uint8_t block_bits;
  uint8_t ext_slots;
  uint16_t root_nid;
  uint64_t inodes;
  uint64_t epoch;
  uint32_t fixed_nsec;
  uint32_t blocks;
  uint32_t meta_block;
  uint32_t xattr_block;
  uint8_t uuid[16];
  uint8_t volume_name[16];
  uint32_t feature_incompat;
  uint16_t compression;
  uint16_t extra_devices;
  uint16_t device_slot;
  uint8_t dir_block_bits;
  uint8_t xattr_prefixes;
  uint32_t xattr_prefix_start;
  uint64_t packed_nid;
  uint8_t reserved[24];
};
static_assert(sizeof(SuperBlock) == 128);

enum Layout : uint16_t { kFlatPlain = 0, kFlatInline = 2, kChunkBased = 4 };

/** The form with 32-bit owners and a time of its own. */
struct Inode {
  uint16_t format;  // bit 0: this form; bits 1 to 3: Layout
  uint16_t xattr_count;
  uint16_t mode;
  uint16_t reserved;
  uint64_t size;
  uint32_t place;  // first block, device number, or the form of the chunk map
  uint32_t ino;
  uint32_t uid;
  uint32_t gid;
  uint64_t mtime;
  uint32_t mtime_ns;
  uint32_t nlink;
  uint8_t reserved2[16];
};
static_assert(sizeof(Inode) == 64);

struct Dirent {
  uint64_t nid;
  uint16_t name_offset;
  uint8_t type;
  uint8_t reserved;
} __attribute__((packed));
static_assert(sizeof(Dirent) == 12);

struct XattrHeader {
  uint32_t name_filter;
  uint8_t shared_count;
  uint8_t reserved[7];
};
static_assert(sizeof(XattrHeader) == 12);

struct XattrEntry {
  uint8_t name_length;
  uint8_t name_index;
  uint16_t value_size;
};
static_assert(sizeof(XattrEntry) == 4);

}  // namespace ctr::erofs
