// Numbers are octal text or, for what does not fit, base-256 two's complement (GNU, also read by POSIX tools).
#include "tar_header.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "layer_failure.h"

namespace ctr {
namespace {

struct Field {
  size_t at;
  size_t size;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12}, kMtime{136, 12}, kChecksum{148, 8}, kLink{157, 100},
    kMajor{329, 8}, kMinor{337, 8}, kPrefix{345, 155};
constexpr size_t kType = 156, kMagic = 257;

std::string text(const uint8_t* block, Field f) {
  const char* start = reinterpret_cast<const char*>(block) + f.at;
  return {start, strnlen(start, f.size)};
}

/** Big-endian two's complement; the first byte's top bit is the mark, its next bit the sign. */
int64_t base256(const uint8_t* p, size_t size, const std::string& name) {
  const bool negative = (p[0] & 0x40) != 0;
  const uint8_t fill = negative ? 0xff : 0x00;
  uint64_t value = 0;
  for (size_t i = 0; i < size; i++) {
    uint8_t byte = i == 0 ? static_cast<uint8_t>((p[0] & 0x7f) | (negative ? 0x80 : 0)) : p[i];
    // Whatever does not fit into 63 bits and a sign must be plain sign extension (CVE-2026-59874: negative sizes).
    const size_t left = size - i;
    if (left > 8 && byte != fill) refuse("number-overflow", name);
    if (left == 8 && ((byte & 0x80) != 0) != negative) refuse("number-overflow", name);
    value = value << 8 | byte;
  }
  return static_cast<int64_t>(value);
}

/** Octal digits with spaces or zeros around them; an empty field is 0. */
int64_t octal(const uint8_t* p, size_t size, const std::string& name) {
  const auto blank = [](uint8_t c) { return c == ' ' || c == '\0'; };
  size_t first = 0, last = size;
  while (first < last && blank(p[first])) first++;
  while (last > first && blank(p[last - 1])) last--;
  uint64_t value = 0;
  for (size_t i = first; i < last; i++) {
    if (p[i] < '0' || p[i] > '7') refuse("bad-number", name);
    value = value << 3 | static_cast<uint64_t>(p[i] - '0');  // 12 digits at most: 36 bits
  }
  return static_cast<int64_t>(value);
}

int64_t number(const uint8_t* block, Field f, const std::string& name) { return parseTarNumber(block + f.at, f.size, name); }

struct ByteSums {
  int64_t plain;
  int64_t with_sign;
};

/** Of `size` bytes, a multiple of 8, at most 1024: eight at a time, since this runs for every entry of every layer. */
ByteSums sumBytes(const uint8_t* bytes, size_t size) {
  constexpr uint64_t kPairs = 0x00ff00ff00ff00ff, kSigns = 0x8080808080808080;
  uint64_t pairs = 0;  // four sums of 16 bits
  int64_t negative = 0;
  for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, bytes + i, sizeof word);
    pairs += (word & kPairs) + (word >> 8 & kPairs);
    negative += std::popcount(word & kSigns);
  }
  constexpr uint64_t kLow = 0x0000ffff0000ffff;
  const uint64_t quads = (pairs & kLow) + (pairs >> 16 & kLow);
  const auto plain = static_cast<int64_t>((quads & 0xffffffff) + (quads >> 32));
  return {plain, plain - 256 * negative};
}

/** The sum of all bytes with the checksum's own field as spaces. Some old tars summed signed bytes: both are right. */
void verifyChecksum(const uint8_t* block, const std::string& name) {
  const ByteSums all = sumBytes(block, kBlock);
  // Its field lies across two words.
  uint8_t own[kChecksum.size];
  std::memcpy(own, block + kChecksum.at, sizeof own);
  const ByteSums without = sumBytes(own, sizeof own);
  constexpr int64_t kSpaces = static_cast<int64_t>(kChecksum.size) * ' ';
  const int64_t stored = octal(own, sizeof own, name);
  if (stored != all.plain - without.plain + kSpaces && stored != all.with_sign - without.with_sign + kSpaces) refuse("checksum", name);
}

}  // namespace

int64_t parseTarNumber(const uint8_t* at, size_t size, const std::string& name) {
  return (at[0] & 0x80) != 0 ? base256(at, size, name) : octal(at, size, name);
}

bool isZeroBlock(const uint8_t* block) {
  return std::all_of(block, block + kBlock, [](uint8_t c) { return c == 0; });
}

TarHeader parseTarHeader(const uint8_t* block) {
  TarHeader h;
  h.name = text(block, kName);
  verifyChecksum(block, h.name);
  h.type = static_cast<char>(block[kType]);
  h.link = text(block, kLink);
  // Only POSIX archives have a prefix: old GNU keeps times and its sparse map in that place.
  if (std::memcmp(block + kMagic, "ustar", 6) == 0) {
    const std::string prefix = text(block, kPrefix);
    if (!prefix.empty()) h.name = prefix + "/" + h.name;
  }
  h.mode = static_cast<uint32_t>(number(block, kMode, h.name)) & 07777;
  h.uid = number(block, kUid, h.name);
  h.gid = number(block, kGid, h.name);
  h.size = number(block, kSize, h.name);
  h.mtime = number(block, kMtime, h.name);
  if (h.type == '3' || h.type == '4') {
    h.major = number(block, kMajor, h.name);
    h.minor = number(block, kMinor, h.name);
  }
  return h;
}

}  // namespace ctr
