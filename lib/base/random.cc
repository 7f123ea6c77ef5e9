#include "base/random.h"

#include <cmath>
#include <numeric>
#include <utility>

namespace temper {
namespace random_parts {

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * kFirstFactor;
  x = (x ^ (x >> 27)) * kSecondFactor;
  return x ^ (x >> 31);
}

uint64_t shared_key(uint64_t seed, std::string_view purpose, uint64_t step) {
  uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a of the purpose
  for (const char c : purpose) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  uint64_t key = mix(seed + kGolden);
  key = mix(key ^ mix(hash + kGolden));
  return mix(key ^ mix(step + 2 * kGolden));
}

}  // namespace random_parts

RandomStream::RandomStream(uint64_t seed, std::string_view purpose, uint64_t step, uint64_t index)
    : key_(random_parts::mix(random_parts::shared_key(seed, purpose, step) ^
                             random_parts::mix(index + 3 * random_parts::kGolden))) {}

uint64_t RandomStream::next() {
  return random_parts::mix(key_ + random_parts::kGolden * ++counter_);
}

double RandomStream::uniform() {
  return static_cast<double>(next() >> 11) * 0x1.0p-53;
}

double RandomStream::normal() {
  const double u = 1.0 - uniform();  // in (0, 1]
  const double v = uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
}

uint64_t RandomStream::below(uint64_t bound) {
  // Rejection keeps it exactly uniform.
  const uint64_t limit = -bound % bound;
  while (true) {
    const uint64_t x = next();
    if (x >= limit) return x % bound;
  }
}

std::vector<int64_t> RandomStream::permutation(int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i = n - 1; i > 0; --i) std::swap(order[i], order[below(static_cast<uint64_t>(i) + 1)]);
  return order;
}

}  // namespace temper
