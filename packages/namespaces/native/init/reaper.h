// ctr-init as the first process of a container.
#pragma once
#include "sys.h"

namespace ctr {

/** Runs the program that the arguments name and ends as it does. */
[[noreturn]] void runReaper(int argc, char** argv, char** envp);

}  // namespace ctr
