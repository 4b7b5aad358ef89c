// The size of a directory tree limited by its file system: a project id of its own, and a limit for that id.
#pragma once
#include <cstdint>
#include <string>

namespace ctr {

/** Whether the file system of an open directory holds projects to their limits; needs Linux 5.14 and CAP_SYS_ADMIN. */
bool enforcesProjects(int directory);

/**
 * Gives the empty directory, and with that all that is made in it, a project of its own with a limit in bytes. The id is a free one of
 * ours; limits of ours that nothing has any more, as after a crash, are taken away by the way. Throws SyscallFailure.
 *
 * The parent directory is locked meanwhile (flock): whoever does the same there at the same time gets another id.
 */
uint32_t limitProject(const std::string& parent, const std::string& directory, uint64_t bytes);

/** Takes the limit of an id away, when the last of its files is gone. */
void releaseProject(const std::string& parent, uint32_t id);

}  // namespace ctr
