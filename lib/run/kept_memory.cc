#include "run/kept_memory.h"

#include <sys/types.h>

#include <cstdlib>
#include <string>

// jemalloc's, where the program is linked with it.
extern "C" __attribute__((weak)) int mallctl(const char* name, void* old, size_t* old_size, void* value,
                                             size_t size);

namespace temper {
namespace {

constexpr ssize_t kNever = -1, kUsual = 10000;  // jemalloc's own default

// Of the arenas that new threads get, and then of those that are there: one by one, since a decay has no name
// that stands for all arenas, and jemalloc does not check the number.
bool set_decay(ssize_t milliseconds) {
  bool all = mallctl("arenas.dirty_decay_ms", nullptr, nullptr, &milliseconds, sizeof milliseconds) == 0;
  unsigned arenas = 0;
  size_t size = sizeof arenas;
  all = all && mallctl("arenas.narenas", &arenas, &size, nullptr, 0) == 0;
  for (unsigned i = 0; all && i < arenas; ++i) {
    const std::string arena = "arena." + std::to_string(i);
    bool begun = false;
    size = sizeof begun;
    if (mallctl((arena + ".initialized").c_str(), &begun, &size, nullptr, 0) != 0 || !begun) continue;
    all = mallctl((arena + ".dirty_decay_ms").c_str(), nullptr, nullptr, &milliseconds,
                  sizeof milliseconds) == 0;
  }
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
