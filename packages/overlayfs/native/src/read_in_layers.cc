// SECURITY: the layers' content is hostile. Each component is opened alone with O_NOFOLLOW, links are resolved here
// against the stack's own root, and a name is opened for reading only when it is a regular file: a FIFO would block
// the host (CVE-2024-9676), a device might do anything.
#include "read_in_layers.h"

#include <sys/xattr.h>

#include <cstring>
#include <memory>
#include <utility>

#include "sys.h"

namespace ctr {
namespace {

constexpr int kMaxLinks = 40;        // as the kernel's own lookup
constexpr size_t kMaxPath = 65536;   // of what is still to be walked, links put in

/** One directory of the merged view: its directories in the layers, top first. */
using Merged = std::vector<std::shared_ptr<UniqueFd>>;

struct Found {
  Facts facts;
  std::shared_ptr<UniqueFd> in;  // the directory that holds it
};

bool isOpaque(int dir, const char* name) {
  UniqueFd fd(::openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  char value = 0;
  for (const char* x : {"trusted.overlay.opaque", "user.overlay.opaque"})
    if (fd.valid() && ::fgetxattr(fd.get(), x, &value, 1) == 1 && value == 'y') return true;
  return false;
}

class Lookup {
 public:
  Lookup(const std::vector<std::string>& layers, std::string path) : rest_(std::move(path)) {
    Merged root;
    for (const auto& layer : layers) {
      const int fd = check(::open(layer.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC), "open", layer);
      root.push_back(std::make_shared<UniqueFd>(fd));
    }
    stack_.push_back(std::move(root));
  }

  /** Where the path leads, with the last component's name in `name`; false when nowhere. */
  bool run(Found& found, std::string& name) {
    while (takeComponent(name)) {
      if (name == "..") {
        if (stack_.size() > 1) stack_.pop_back();
        continue;
      }
      Merged below;
      if (!find(name, found, below)) return false;
      if (found.facts.isSymlink()) {
        follow(found, name);
      } else if (found.facts.isDirectory()) {
        stack_.push_back(std::move(below));
      } else {
        if (rest_.find_first_not_of('/') != std::string::npos) throw ReadFailure{"not-directory", name};
        return true;
      }
    }
    throw ReadFailure{"not-regular", name};  // it ended at a directory
  }

 private:
  bool takeComponent(std::string& name) {
    do {
      const size_t start = rest_.find_first_not_of('/');
      if (start == std::string::npos) return false;
      const size_t end = std::min(rest_.find('/', start), rest_.size());
      name = rest_.substr(start, end - start);
      rest_.erase(0, end);
    } while (name == ".");
    return true;
  }

  /** Looks `name` up in the merged directory of now; `below` takes the directories when it is one. */
  bool find(const std::string& name, Found& found, Merged& below) {
    bool any = false;
    for (const auto& dir : stack_.back()) {
      Facts facts;
      if (statAt(dir->get(), name.c_str(), facts) < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG) continue;
        check(-1, "statx", name);
      }
      if (facts.isWhiteout() || (any && !facts.isDirectory())) break;
      if (!any) found = Found{facts, dir};
      any = true;
      if (!facts.isDirectory()) break;
      below.push_back(openDirectory(dir->get(), name));
      if (isOpaque(dir->get(), name.c_str())) break;
    }
    return any;
  }

  static std::shared_ptr<UniqueFd> openDirectory(int dir, const std::string& name) {
    const int fd = check(::openat(dir, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "openat", name);
    return std::make_shared<UniqueFd>(fd);
  }

  void follow(const Found& link, const std::string& name) {
    if (++links_ > kMaxLinks) throw ReadFailure{"too-many-links", name};
    std::string target(4096, '\0');
    const ssize_t n = check(::readlinkat(link.in->get(), name.c_str(), target.data(), target.size()), "readlinkat", name);
    target.resize(static_cast<size_t>(n));
    if (target.starts_with('/')) stack_.resize(1);
    rest_ = target + "/" + rest_;
    if (rest_.size() > kMaxPath) throw ReadFailure{"too-many-links", name};
  }

  std::string rest_;
  std::vector<Merged> stack_;
  int links_ = 0;
};

std::string readAll(int fd, const std::string& path, uint64_t max_bytes) {
  std::string out;
  char buffer[16384];
  for (;;) {
    const ssize_t n = check(retry([&] { return ::read(fd, buffer, sizeof buffer); }), "read", path);
    if (n == 0) return out;
    if (out.size() + static_cast<size_t>(n) > max_bytes) throw ReadFailure{"too-large", path};
    out.append(buffer, static_cast<size_t>(n));
  }
}

}  // namespace

std::optional<std::string> readInLayers(const std::vector<std::string>& layers, const std::string& path, uint64_t max_bytes) {
  Found found;
  std::string name;
  if (!Lookup(layers, path).run(found, name)) return std::nullopt;
  // Held before it is judged, and opened through what is held: a live container cannot put a FIFO or a device in between.
  UniqueFd held(check(::openat(found.in->get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC), "openat", path));
  const Facts facts = factsOf(held.get(), path);
  if (!facts.isRegular()) throw ReadFailure{"not-regular", path};
  if (facts.size > max_bytes) throw ReadFailure{"too-large", path};
  const std::string self = "/proc/self/fd/" + std::to_string(held.get());
  UniqueFd fd(check(::open(self.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), "openat", path));
  return readAll(fd.get(), path, max_bytes);
}

}  // namespace ctr
