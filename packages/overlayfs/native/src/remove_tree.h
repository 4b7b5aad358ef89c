// Deletes directory trees by descriptor.
#pragma once
#include <string>

namespace ctr {

/**
 * Deletes `name` in `dirfd` and all below it. Never follows a link, never crosses a mount (EXDEV), needs no stack and
 * two descriptors however deep the tree is. A directory that its owner may not enter is made accessible first.
 * Throws SyscallFailure; `label` is the path that it names.
 */
void removeTreeAt(int dirfd, const std::string& name, const std::string& label);

/** The same by path; a path that does not exist is no failure. */
void removeTree(const std::string& path);

}  // namespace ctr
