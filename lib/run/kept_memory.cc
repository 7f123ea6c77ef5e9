#include "run/kept_memory.h"

#include <sys/types.h>

#include <cstdlib>

// jemalloc's, where the program is linked with it.
extern "C" __attribute__((weak)) int mallctl(const char* name, void* old, size_t* old_size, void* value,
                                             size_t size);

namespace temper {
namespace {

// Arenas that are there (4096: all of them), and those that new threads get.
constexpr const char* kDecay[] = {"arena.4096.dirty_decay_ms", "arenas.dirty_decay_ms"};
constexpr ssize_t kNever = -1, kUsual = 10000;  // jemalloc's own default

bool set_decay(ssize_t milliseconds) {
  bool all = true;
  for (const char* name : kDecay)
    all = mallctl(name, nullptr, nullptr, &milliseconds, sizeof milliseconds) == 0 && all;
  return all;
}

int64_t resident() {
  uint64_t epoch = 1;
  size_t size = sizeof epoch, bytes = 0;
  if (mallctl("epoch", &epoch, &size, &epoch, size) != 0) return 0;
  size = sizeof bytes;
  return mallctl("stats.resident", &bytes, &size, nullptr, 0) == 0 ? static_cast<int64_t>(bytes) : 0;
}

}  // namespace

bool ReleaseRule::at_step_end(int64_t resident) {
  if (needed_ == 0) {
    needed_ = resident;
    return false;
  }
  if (static_cast<double>(resident) <= kMost * static_cast<double>(needed_)) return false;
  needed_ = 0;
  return true;
}

KeptMemory::KeptMemory() : keeps_(mallctl != nullptr && std::getenv("MALLOC_CONF") == nullptr) {
  if (keeps_) keeps_ = set_decay(kNever);
}

KeptMemory::~KeptMemory() {
  if (keeps_) set_decay(kUsual);
}

void KeptMemory::end_step() {
  if (keeps_ && rule_.at_step_end(resident())) mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0);
}

}  // namespace temper
