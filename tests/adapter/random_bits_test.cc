#include "adapter/random_bits.h"

#include <ATen/ATen.h>

#include "base/random.h"
#include "test.h"

using namespace temper;

TEST_CASE("the draws of rows are those of their streams") {
  const uint64_t large = ~uint64_t{0} - 1;  // its last rows go on from 0
  for (const uint64_t first : {uint64_t{0}, uint64_t{5} << 32, large}) {
    for (const uint64_t seed : {uint64_t{1}, uint64_t{1} << 63}) {
      const at::Tensor bits = random_bits(seed, "dropout", 7, first, 4, 9, at::kCPU);
      REQUIRE(bits.sizes() == at::IntArrayRef({4, 9}));
      for (int64_t row = 0; row < 4; ++row) {
        RandomStream stream(seed, "dropout", 7, first + static_cast<uint64_t>(row));
        for (int64_t i = 0; i < 9; ++i)
          CHECK(static_cast<uint64_t>(bits[row][i].item<int64_t>()) == stream.next());
      }
    }
  }
}
