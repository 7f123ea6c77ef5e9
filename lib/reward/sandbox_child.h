// What a sandboxed program may not do, and the steps between the start of its process and the program itself.
#pragma once

#include <linux/filter.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace temper {

// The version of Landlock that this kernel has; 0: none, so files of others cannot be hidden.
int landlock_version();

// A Landlock ruleset by which only `folder` (a descriptor) may be written to, only `readable` files and
// folders may be read and run besides, and signals stay inside. The descriptor is the caller's to close;
// -1 where the kernel has no Landlock.
int landlock_rules(int folder, const std::vector<std::string>& readable);

// The seccomp filter of this processor; empty where there is none for it. It refuses, with EPERM,
//   what would leave the process group (setsid, setpgid), so that one signal ends all a program started;
//   sockets of any family, io_uring, and what outlives a process (System V and POSIX queues);
//   what reaches into other processes, new namespaces and mounts;
//   `guard_user`: the program has the same user as this one, so also signals, unless Landlock holds them
//   (`signals_held`), and changes of modes, owners, times and attributes of files, which Landlock lets by.
std::vector<sock_filter> syscall_filter(bool guard_user, bool signals_held);

// All that the child needs, made before it starts: from then on it shares memory with a program that has
// threads, so it allocates nothing and takes no lock.
struct ChildPlan {
  const char* path = nullptr;
  char* const* arguments = nullptr;
  char* const* environment = nullptr;
  int in = -1, out = -1, err = -1, folder = -1, rules = -1;  // all above 2
  std::vector<std::pair<int, rlimit>> limits;                // RLIMIT_*
  bool drop_root = false;                                    // no capabilities
  uid_t user = 0;                                            // with drop_root: the user to become; 0: none
  sock_fprog filter{};
  int last_descriptor = 0;  // for kernels without close_range
  // What the child says when it could not become the program; step nullptr: it did.
  const char* volatile step = nullptr;
  volatile int error = 0;
};

// Starts it as leader of a new session and process group. The caller's thread sleeps until the program runs
// or the plan's `step` says what failed; returns its process id, or -1 with errno.
pid_t start_child(ChildPlan& plan);

}  // namespace temper
