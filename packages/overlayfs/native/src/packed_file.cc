#include "packed_file.h"

#include <algorithm>
#include <utility>

#include "layer_failure.h"
#include "sys.h"
#include "tar_writer.h"

namespace ctr {

PackedFile::PackedFile(UniqueFd fd, std::string path, uint64_t size)
    : fd_(std::move(fd)), path_(std::move(path)), left_(size), padding_(tarPadding(size)) {}

void PackedFile::readOn(std::string& out, size_t size) {
  while (left_ > 0 && out.size() < size) {
    const size_t had = out.size();
    const size_t most = static_cast<size_t>(std::min<uint64_t>(left_, std::max<size_t>(size - had, kTarBlock)));
    out.resize(had + most);
    const ssize_t got = retry([&] { return ::read(fd_.get(), out.data() + had, most); });
    out.resize(had + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    check(got, "read", path_);
    if (got == 0) refuse("shrank", path_);
    left_ -= static_cast<uint64_t>(got);
  }
  if (left_ > 0) return;
  out.append(padding_, '\0');
  fd_.reset();
}

}  // namespace ctr
