#include "adapter/random_bits.h"

#include <ATen/ATen.h>

#include "base/random.h"

namespace temper {
namespace {

// int64 tensors have the bits of uint64: sums, products and xor are the same modulo 2^64.
int64_t signed_bits(uint64_t x) {
  return static_cast<int64_t>(x);
}

// x ^= x >> shift, the shift without the sign's copies.
at::Tensor& fold(at::Tensor& x, int64_t shift) {
  const int64_t kept = signed_bits(~uint64_t{0} >> shift);
  return x.bitwise_xor_(x.bitwise_right_shift(shift).bitwise_and_(kept));
}

// random_parts::mix, in place.
at::Tensor mixed(at::Tensor x) {
  fold(x, 30).mul_(signed_bits(random_parts::kFirstFactor));
  fold(x, 27).mul_(signed_bits(random_parts::kSecondFactor));
  return fold(x, 31);
}

}  // namespace

at::Tensor random_bits(uint64_t seed, std::string_view purpose, uint64_t step, uint64_t first, int64_t rows,
                       int64_t draws, at::Device device) {
  const at::TensorOptions options = at::TensorOptions(device).dtype(at::kLong);
  const at::Tensor indices =
      at::arange(rows, options).add_(signed_bits(first + 3 * random_parts::kGolden)).unsqueeze_(1);
  const at::Tensor keys =
      mixed(mixed(indices).bitwise_xor_(signed_bits(random_parts::shared_key(seed, purpose, step))));
  const at::Tensor counters = at::arange(1, draws + 1, options).mul_(signed_bits(random_parts::kGolden));
  return mixed(keys + counters);
}

}  // namespace temper
