#include "tar_writer.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace ctr {
namespace {

/** The largest number in an octal field of seven or eleven digits. */
constexpr uint64_t kMax7 = 07777777;
constexpr uint64_t kMax11 = 077777777777;
constexpr size_t kName = 100;

using Block = std::array<char, kTarBlock>;

void octal(Block& block, uint64_t value, size_t at, int digits) {
  std::array<char, 24> text;
  const int length = std::snprintf(text.data(), text.size(), "%0*llo", digits, static_cast<unsigned long long>(value));
  std::memcpy(block.data() + at, text.data(), static_cast<size_t>(length));
}

/** Whole characters only: a name cut within one would be no UTF-8. */
void text(Block& block, const std::string& value, size_t at) {
  size_t length = std::min(value.size(), kName);
  if (length < value.size())
    while (length > 0 && (static_cast<unsigned char>(value[length]) & 0xc0) == 0x80) length--;
  std::memcpy(block.data() + at, value.data(), length);
}

void appendBlock(std::string& out, const TarFacts& f) {
  Block block{};
  text(block, f.path, 0);
  octal(block, f.mode, 100, 7);
  octal(block, std::min<uint64_t>(f.uid, kMax7), 108, 7);
  octal(block, std::min<uint64_t>(f.gid, kMax7), 116, 7);
  octal(block, f.size > kMax11 ? 0 : f.size, 124, 11);
  octal(block, std::min<uint64_t>(static_cast<uint64_t>(std::max<int64_t>(f.mtime, 0)), kMax11), 136, 11);
  block[156] = f.type;
  text(block, f.target, 157);
  std::memcpy(block.data() + 257, "ustar\0" "00", 8);
  if (f.type == '3' || f.type == '4') {
    octal(block, std::min<uint64_t>(f.major, kMax7), 329, 7);
    octal(block, std::min<uint64_t>(f.minor, kMax7), 337, 7);
  }
  // The checksum counts its own field as spaces.
  uint64_t sum = 8 * ' ';
  for (const char c : block) sum += static_cast<unsigned char>(c);
  octal(block, sum, 148, 6);
  block[155] = ' ';
  out.append(block.data(), block.size());
}

/** `length key=value\n`, where the length counts its own digits. */
void appendRecord(std::string& out, std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + std::to_string(rest).size();
  if (rest + std::to_string(length).size() > length) length++;
  out.append(std::to_string(length)).append(" ").append(key).append("=").append(value).append("\n");
}

bool isPlain(const std::string& name) {
  return name.size() <= kName && std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

/** A time before 1970 counts its fraction backwards in PAX. */
std::string timestamp(const TarFacts& f) {
  if (f.mtime_ns == 0) return std::to_string(f.mtime);
  const bool early = f.mtime < 0;
  const int64_t seconds = early ? -(f.mtime + 1) : f.mtime;
  const uint32_t ns = early ? 1'000'000'000 - f.mtime_ns : f.mtime_ns;
  std::array<char, 40> text;
  std::snprintf(text.data(), text.size(), "%s%lld.%09u", early ? "-" : "", static_cast<long long>(seconds), ns);
  return text.data();
}

std::string records(const TarFacts& f) {
  std::string out;
  if (!isPlain(f.path)) appendRecord(out, "path", f.path);
  if (!isPlain(f.target)) appendRecord(out, "linkpath", f.target);
  if (f.size > kMax11) appendRecord(out, "size", std::to_string(f.size));
  if (f.uid > kMax7) appendRecord(out, "uid", std::to_string(f.uid));
  if (f.gid > kMax7) appendRecord(out, "gid", std::to_string(f.gid));
  if (f.mtime_ns != 0 || f.mtime < 0 || f.mtime > static_cast<int64_t>(kMax11)) appendRecord(out, "mtime", timestamp(f));
  for (const auto& [name, value] : f.xattrs) appendRecord(out, "SCHILY.xattr." + name, value);
  return out;
}

}  // namespace

std::string tarHeader(const TarFacts& facts) {
  std::string out;
  const std::string body = records(facts);
  if (!body.empty()) {
    TarFacts extended;
    extended.type = 'x';
    extended.path = "PaxHeader";
    extended.mode = 0644;
    extended.size = body.size();
    appendBlock(out, extended);
    out.append(body).append(tarPadding(body.size()), '\0');
  }
  appendBlock(out, facts);
  return out;
}

}  // namespace ctr
