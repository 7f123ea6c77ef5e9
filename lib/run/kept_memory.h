// Memory that a step frees is kept for the next one. Giving it back and taking it again lets the kernel fill
// the same pages with zeros over and over.
#pragma once

#include <cstdint>

namespace temper {

// When to give everything back: pages that are kept fit other steps' tensors less and less well, and so their
// number creeps up. Bytes are those resident at the ends of steps.
class ReleaseRule {
 public:
  // Whether to release now. The first step after a release says what a step needs.
  bool at_step_end(int64_t resident);

 private:
  static constexpr double kMost = 1.1;  // of what that step needed
  int64_t needed_ = 0;                  // 0: this step began with nothing kept
};

// From construction to destruction the allocator keeps what is freed, where it is jemalloc (as in the
// programs) and MALLOC_CONF in the environment does not say otherwise; else nothing happens here.
class KeptMemory {
 public:
  KeptMemory();
  ~KeptMemory();
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;

  void end_step();
  bool keeps() const { return keeps_; }

 private:
  bool keeps_ = false;
  ReleaseRule rule_;
};

}  // namespace temper
