#include "base/limits.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"

namespace temper {

int64_t product(const char* what, std::initializer_list<int64_t> counts) {
  if (std::find(counts.begin(), counts.end(), 0) != counts.end()) return 0;
  int64_t out = 1;
  for (const int64_t count : counts) {
    if (__builtin_mul_overflow(out, count, &out) || out > int64_t{1} << 60)
      user_error("{}: {} is more than 2^60; is one of them a slip?", what, fmt::join(counts, " x "));
  }
  return out;
}

}  // namespace temper
