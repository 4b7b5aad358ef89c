// Feeds mutated programs to decodeProgram, built with AddressSanitizer and UBSan: decode_fuzz <rounds> <seed> <file>…
// The files are valid programs, alone or as a whole message to a parked process. What is accepted is then used as the monitor would use it, but for the system calls.
#include <linux/time_types.h>
#include <sys/time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

// The program under test has no C library and takes these from the kernel's header; here the library has them already.
#define _LINUX_TIME_H
#include "../init/plan.h"

extern "C" void __sanitizer_set_death_callback(void (*callback)(void));

namespace {

using Bytes = std::vector<char>;

u64 state, round_number, seed;

/** xorshift64*: the same numbers everywhere, so that a finding can be repeated. */
u64 random64() {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1dull;
}
std::size_t below(std::size_t n) { return n == 0 ? 0 : random64() % n; }

constexpr u64 kEdges[] = {0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 63, 64, 127, 128, 255, 256, 511, 512, 513, 0x7fff, 0x8000, 0xffff, 0x10000,
                          0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff, 0x100000000, 0x7fffffffffffffff, ~u64{0}};

void overwrite(Bytes& b) {
  const std::size_t width = std::size_t{1} << below(4);
  if (b.size() < width) return;
  // The header and the first steps more often: what lies there decides about the rest.
  const std::size_t area = random64() % 2 ? std::min<std::size_t>(b.size() - width + 1, 128) : b.size() - width + 1;
  const u64 value = random64() % 3 ? kEdges[below(std::size(kEdges))] : random64();
  std::memcpy(b.data() + below(area), &value, width);
}

void mutate(Bytes& b, const Bytes& other) {
  for (std::size_t n = 1 + below(6); n > 0; n--) switch (below(8)) {
      case 0:
        b.resize(below(b.size() + 1));
        break;
      case 1:
        b.insert(b.end(), 8 * below(20), static_cast<char>(random64()));
        break;
      case 2:
        if (!b.empty()) b[below(b.size())] ^= static_cast<char>(1u << below(8));
        break;
      case 3: {
        const std::size_t at = below(b.size()), length = below(200);
        for (std::size_t i = 0; i < length && at + i < b.size() && i < other.size(); i++) b[at + i] = other[(at * 7 + i) % other.size()];
        break;
      }
      default:
        overwrite(b);
    }
}

u64 sink;

/** Reads and writes everywhere where the monitor would. */
void use(const ctr::Program& p) {
  for (u32 stage = 0; stage < ctr::kStages; stage++)
    for (u32 i = 0; i < p.counts[stage]; i++) {
      const ctr::WireStep& s = p.steps[stage][i];
      for (u32 k = 0; k < s.patch_count; k++) {
        const ctr::WirePatch& patch = p.patches[s.patch_first + k];
        std::memset(p.data + patch.at, 0, patch.kind == static_cast<u16>(ctr::ArgKind::pointer) ? 8 : 4);
        sink += patch.kind == static_cast<u16>(ctr::ArgKind::pointer) ? std::strlen(p.text(static_cast<u32>(patch.value))) : patch.value;
      }
      for (u32 a = 0; a < 6; a++) {
        if (static_cast<ctr::ArgKind>(s.arg_kind[a]) == ctr::ArgKind::pointer) sink += std::strlen(p.text(static_cast<u32>(s.args[a])));
        if (static_cast<ctr::ArgKind>(s.arg_kind[a]) == ctr::ArgKind::slot && s.args[a] >= ctr::kMaxSlots) std::abort();
      }
      if (s.into >= static_cast<i32>(ctr::kMaxSlots) || s.into < -1 || s.op > static_cast<u16>(ctr::Op::await_program)) std::abort();
    }
}

bool decode(const Bytes& b) {
  // A block of exactly this size: one byte beyond it is a finding.
  char* block = new char[b.size()];
  std::memcpy(block, b.data(), b.size());
  const auto size = static_cast<u32>(b.size());
  ctr::Program program, told;
  const bool good = ctr::decodeProgram(reinterpret_cast<u8*>(block), size, program);
  if (good) use(program);
  ctr::MessageHeader header = {};
  std::memcpy(&header, block, std::min(b.size(), sizeof header));
  const bool message = ctr::decodeParkedProgram(reinterpret_cast<u8*>(block), size, header, told);
  if (message) use(told);
  delete[] block;
  return good || message;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const u64 rounds = std::strtoull(argv[1], nullptr, 10);
  seed = std::strtoull(argv[2], nullptr, 10);
  state = seed * 0x9e3779b97f4a7c15ull + 1;
  __sanitizer_set_death_callback([] { std::fprintf(stderr, "round %llu of seed %llu\n", (unsigned long long)round_number, (unsigned long long)seed); });
  std::vector<Bytes> valid;
  for (int i = 3; i < argc; i++) {
    std::ifstream file{argv[i], std::ios::binary};
    valid.emplace_back(std::istreambuf_iterator<char>{file}, std::istreambuf_iterator<char>{});
    if (!decode(valid.back())) return std::fprintf(stderr, "%s is refused as it is\n", argv[i]), 1;
  }
  u64 accepted = 0;
  for (round_number = 0; round_number < rounds; round_number++) {
    Bytes b = valid[below(valid.size())];
    mutate(b, valid[below(valid.size())]);
    accepted += decode(b);
  }
  std::printf("%llu rounds, %llu accepted\n", (unsigned long long)rounds, (unsigned long long)accepted);
  return 0;
}
