// Several processes of this program on this machine, without another program: temper-train --ranks N.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace temper {

struct LaunchOptions {
  int64_t ranks = 2;
  int64_t restarts = 0;  // how often all are started again when one was lost
};

// Starts this program `ranks` times with `arguments` (argv without the program) and the variables that
// find_place() reads, and waits. What rank 0 prints is seen; of the others only, where one of them failed
// first, its words. Signals go to all. When a rank is lost (killed, or it ended with kExitRetry) the others
// are ended, and all begin again, up to `restarts` times; otherwise the exit code is that of the first rank
// that failed, or 0. Throws UserError for fewer than one rank or more than the machine has processors.
int launch_ranks(const LaunchOptions& options, const std::vector<std::string>& arguments);

}  // namespace temper
