#include "sparse_copy.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

#include "sys.h"

namespace ctr {
namespace {

/** sendfile(2) and not copy_file_range(2), which may copy what lies behind the end of an extent as well; both copy within the kernel. */
void copyExtent(int from, int to, off_t at, off_t end, const std::string& path) {
  check(::lseek(to, at, SEEK_SET), "lseek", path);
  while (at < end) {
    const ssize_t sent = retry([&] { return ::sendfile(to, from, &at, static_cast<size_t>(end - at)); });
    check(sent, "sendfile", path);
    if (sent == 0) return;  // shorter than it was
  }
}

}  // namespace

void copySparse(const std::string& from, const std::string& to) {
  const UniqueFd source(check(::open(from.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC), "open", from));
  const UniqueFd target(check(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), "open", to));
  if (::ioctl(target.get(), FICLONE, source.get()) == 0) return;
  const off_t size = static_cast<off_t>(factsOf(source.get(), from).size);
  check(::ftruncate(target.get(), size), "ftruncate", to);
  for (off_t at = 0; at < size;) {
    at = ::lseek(source.get(), at, SEEK_DATA);
    if (at < 0 && errno == ENXIO) return;  // only a hole is left
    check(at, "lseek", from);
    const off_t end = check(::lseek(source.get(), at, SEEK_HOLE), "lseek", from);
    copyExtent(source.get(), target.get(), at, end, to);
    at = end;
  }
}

}  // namespace ctr
