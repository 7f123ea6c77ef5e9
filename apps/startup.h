// What has to be settled before the runtime libraries start: how threads wait, and how memory is kept. The
// user's environment wins.
#pragma once

#include <unistd.h>

#include <climits>
#include <cstring>

namespace temper {

// jemalloc, not glibc's malloc: a step's large tensors come and go in new sizes all the time, and small
// things that stay would cut up the memory between them (10 GB instead of 4 after 40 steps of 135M weights).
// Huge pages spare the kernel work on fresh memory, and large tensors' memory is kept like any other, not
// given back at once; training keeps it for longer (run/kept_memory.h). MALLOC_CONF in the environment wins.
extern "C" {
__attribute__((used)) inline const char* malloc_conf = "thp:always,oversize_threshold:0";
}

// OpenMP's threads wait for the next parallel loop by spinning, and a processor that spins for a thread is
// one that the thread it waits for cannot have. With a bound they sleep after some ten microseconds, and
// training beside another busy process is 1.4 times as fast (scripts/bench/neighbour.py). libgomp
// reads its variables while the libraries start, before main, so the program starts itself again, once,
// before any of them has done a thing. Nothing is set up here yet, `environ` neither: only the arguments
// count. (A variable set here would not last: the C library's own start puts the first environment back.)
inline void bound_spinning(int, char** argv, char** env) {
  static char setting[] = "GOMP_SPINCOUNT=3000";
  constexpr size_t kMost = 4096;
  static char* longer[kMost + 2];
  size_t n = 0;
  for (; env[n] != nullptr; ++n) {
    if (n == kMost || strncmp(env[n], "GOMP_SPINCOUNT=", 15) == 0 ||
        strncmp(env[n], "OMP_WAIT_POLICY=", 16) == 0)
      return;
    longer[n] = env[n];
  }
  longer[n] = setting;
  char program[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  if (length <= 0) return;
  program[length] = '\0';
  execve(program, argv, longer);  // where it cannot, the program goes on as it is
}

// A section that the linker runs before the constructors of all libraries; of a program alone, so in the file
// of its main.
#define TEMPER_PREINIT __attribute__((section(".preinit_array,\"aw\",@preinit_array#"), used))
TEMPER_PREINIT static void (*const bound_spinning_first)(int, char**, char**) = bound_spinning;

}  // namespace temper
