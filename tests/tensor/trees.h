// Packed batches of every shape that attention meets.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/packed.h"

namespace temper {

inline std::vector<int64_t> some_ids(int64_t n) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < n; ++i) out.push_back((i * 7 + n) % 11);
  return out;
}

// A group with members of different lengths, a lone sequence, a chain of three with a branch, and segments
// without tokens, one of them with a child.
inline Packer several_trees() {
  Packer packer;
  const int64_t p = packer.add_segment(some_ids(5));
  for (const int64_t n : {3, 1, 70}) packer.add_segment(some_ids(n), p);
  packer.add_segment(some_ids(67));
  const int64_t a = packer.add_segment(some_ids(2));
  const int64_t b = packer.add_segment(some_ids(4), a);
  packer.add_segment(some_ids(6), b);
  packer.add_segment(some_ids(3), b);
  packer.add_segment(some_ids(0), a);
  const int64_t nothing = packer.add_segment({});
  packer.add_segment(some_ids(4), nothing);
  return packer;
}

}  // namespace temper
