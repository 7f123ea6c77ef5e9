// How much one comparison may cost.
#pragma once

#include <cstdint>

namespace temper {

// Counted in what evaluations of formulas cost (cost_of()), not in time, so that every machine comes to the
// same verdict; about a microsecond each.
class Work {
 public:
  static constexpr int64_t kMost = 30000;

  // False when there is no more.
  bool spend(int64_t cost) {
    left_ -= cost;
    return left_ >= 0;
  }
  bool spent() const { return left_ < 0; }

 private:
  int64_t left_ = kMost;
};

}  // namespace temper
