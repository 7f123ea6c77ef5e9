// Counter-based random streams. A stream is named by (seed, purpose, step, index); its draws are a pure
// function of that name and of how many were taken, so there is no generator state to save and none to lose.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace temper {

class RandomStream {
 public:
  // purpose: what the draws are for ("rollout", "shuffle", "init" ...). The same four values give the same
  // draws.
  RandomStream(uint64_t seed, std::string_view purpose, uint64_t step = 0, uint64_t index = 0);

  uint64_t next();                 // 64 uniform bits
  double uniform();                // in [0, 1), 53 bits
  double normal();                 // mean 0, variance 1 (Box-Muller, two uniforms a draw)
  uint64_t below(uint64_t bound);  // uniform in [0, bound); bound >= 1
  std::vector<int64_t> permutation(int64_t n);

 private:
  uint64_t key_;
  uint64_t counter_ = 0;
};

}  // namespace temper
