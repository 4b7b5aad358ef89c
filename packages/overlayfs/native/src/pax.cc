// A record is "LENGTH KEY=VALUE\n", LENGTH counting itself. SECURITY: everything malformed is an error and never
// skipped, since two readers that resynchronise differently see different archives (CVE-2025-62518, CVE-2026-33055).
#include "pax.h"

#include <algorithm>
#include <string_view>

#include "layer_failure.h"

namespace ctr {
namespace {

using View = std::string_view;

struct Record {
  View key;
  View value;
};

/** Decimal digits only, at most 2^63 - 1. */
uint64_t decimal(View digits, const std::string& name) {
  if (digits.empty() || digits.size() > 19) refuse("pax-number", name);
  uint64_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') refuse("pax-number", name);
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  if (value > INT64_MAX) refuse("number-overflow", name);
  return value;
}

/** Takes the first record off `rest`. */
Record nextRecord(View& rest, const std::string& name) {
  const size_t space = rest.find(' ');
  if (space == View::npos || space == 0 || space > 10) refuse("pax-record", name);
  const uint64_t length = decimal(rest.substr(0, space), name);
  if (length > rest.size() || length < space + 4 || rest[length - 1] != '\n') refuse("pax-record", name);
  const View body = rest.substr(space + 1, length - space - 2);
  const size_t equals = body.find('=');
  if (equals == View::npos || equals == 0) refuse("pax-record", name);
  rest.remove_prefix(length);
  const Record record{body.substr(0, equals), body.substr(equals + 1)};
  if (record.key.find('\0') != View::npos) refuse("pax-record", name);
  return record;
}

/** "-1700000000.123456789": whole seconds and nanoseconds, the fraction cut after nine digits. */
std::pair<int64_t, uint32_t> timestamp(View text, const std::string& name) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const size_t dot = text.find('.');
  int64_t seconds = static_cast<int64_t>(decimal(text.substr(0, dot), name));
  uint32_t nanoseconds = 0, scale = 100'000'000;
  for (const char c : dot == View::npos ? View{} : text.substr(dot + 1)) {
    if (c < '0' || c > '9') refuse("pax-number", name);
    nanoseconds += static_cast<uint32_t>(c - '0') * scale;
    scale /= 10;
  }
  if (negative) {
    seconds = -seconds;
    // A time before 1970 counts its nanoseconds forward from the earlier second.
    if (nanoseconds > 0) {
      seconds -= 1;
      nanoseconds = 1'000'000'000 - nanoseconds;
    }
  }
  return {seconds, nanoseconds};
}

uint32_t id(View text, const std::string& name) {
  const uint64_t value = decimal(text, name);
  if (value >= UINT32_MAX) refuse("owner", name);  // -1 means "unchanged" to chown(2)
  return static_cast<uint32_t>(value);
}

std::string pathValue(View value, const std::string& name) {
  // A NUL would cut the name short for the kernel but not for a scanner.
  if (value.find('\0') != View::npos) refuse("pax-nul", name);
  return std::string(value);
}

void addXattr(PaxRecords& out, View key, View value, const Limits& limits, const std::string& name) {
  if (key.empty()) refuse("xattr-name", name);
  if (key.size() > 255) overLimit("xattr-name-length", name);
  if (value.size() > limits.xattr_value_bytes) overLimit("xattr-size", name);
  // The last of two records with one key holds, as POSIX says.
  for (auto& [k, v] : out.xattrs)
    if (k == key) {
      v = std::string(value);
      return;
    }
  if (out.xattrs.size() >= limits.xattrs) overLimit("xattr-count", name);
  out.xattrs.emplace_back(key, value);
}

constexpr View kXattr = "SCHILY.xattr.";
constexpr View kSparse = "GNU.sparse.";

/** Format 0.0 repeats its two keys for every region, 0.1 lists all of them in one value, 1.0 keeps them elsewhere. */
void applySparse(PaxSparse& s, View key, View value, const std::string& name) {
  if (key == "name") s.name = pathValue(value, name);
  else if (key == "major") s.major = std::string(value);
  else if (key == "minor") s.minor = std::string(value);
  else if (key == "size" || key == "realsize") s.size = decimal(value, name);
  else if (key == "offset" || key == "numbytes") {
    s.has_map = true;
    if ((s.numbers.size() % 2 == 0) != (key == "offset")) refuse("sparse-map", name);
    s.numbers.push_back(decimal(value, name));
  } else if (key == "map") {
    if (s.has_map) refuse("sparse-map", name);
    s.has_map = true;
    for (View rest = value; !rest.empty();) {
      const size_t comma = std::min(rest.find(','), rest.size());
      s.numbers.push_back(decimal(rest.substr(0, comma), name));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  // The number of regions says nothing more.
  else if (key != "numblocks") refuse("sparse", name);
}

void apply(PaxRecords& out, const Record& r, const Limits& limits, const std::string& name) {
  // An empty value deletes the record: the header's own field holds again.
  const bool unset = r.value.empty();
  if (r.key == "path") {
    out.path = unset ? std::nullopt : std::optional(pathValue(r.value, name));
  } else if (r.key == "linkpath") {
    out.link = unset ? std::nullopt : std::optional(pathValue(r.value, name));
  } else if (r.key == "size") {
    out.size = unset ? std::nullopt : std::optional(decimal(r.value, name));
  } else if (r.key == "uid") {
    out.uid = unset ? std::nullopt : std::optional(id(r.value, name));
  } else if (r.key == "gid") {
    out.gid = unset ? std::nullopt : std::optional(id(r.value, name));
  } else if (r.key == "mtime") {
    out.mtime = unset ? std::nullopt : std::optional(timestamp(r.value, name));
  } else if (r.key.starts_with(kXattr)) {
    addXattr(out, r.key.substr(kXattr.size()), r.value, limits, name);
  } else if (r.key.starts_with(kSparse)) {
    if (!out.sparse) out.sparse.emplace();
    applySparse(*out.sparse, r.key.substr(kSparse.size()), r.value, name);
  }
}

}  // namespace

bool PaxSparse::isVersion1(const std::string& entry) const {
  const bool one = major == "1" && minor == "0";
  const bool zero = (!major && !minor) || (major == "0" && (minor == "0" || minor == "1"));
  if (!size || (!one && !zero) || has_map == one) refuse("sparse", entry);
  return one;
}

PaxRecords parsePax(const std::string& body, const Limits& limits, const std::string& name) {
  PaxRecords out;
  for (View rest = body; !rest.empty();) apply(out, nextRecord(rest, name), limits, name);
  return out;
}

void checkGlobalPax(const std::string& body, const std::string& name) {
  for (View rest = body; !rest.empty();) {
    const View key = nextRecord(rest, name).key;
    const bool alters = key == "path" || key == "linkpath" || key == "size" || key == "uid" || key == "gid" || key == "mtime" ||
                        key.starts_with(kXattr) || key.starts_with(kSparse);
    if (alters) refuse("global-header", name);
  }
}

}  // namespace ctr
