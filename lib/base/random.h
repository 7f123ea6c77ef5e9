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

// What streams are made of, for those who draw them elsewhere (adapter/random_bits.h): draw n, from 1, is
// mix(key + n kGolden), where key = mix(shared_key(seed, purpose, step) ^ mix(index + 3 kGolden)).
namespace random_parts {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ULL;
constexpr uint64_t kFirstFactor = 0xbf58476d1ce4e5b9ULL, kSecondFactor = 0x94d049bb133111ebULL;
// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection on 64 bits that passes BigCrush as a
// counter hash.
uint64_t mix(uint64_t x);
uint64_t shared_key(uint64_t seed, std::string_view purpose, uint64_t step);

}  // namespace random_parts

}  // namespace temper
