// Virtual tokens (model.h) among the rows of a pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tensor/packed.h"

namespace temper {

// Where virtual tokens stand among the rows of a pass.
struct VirtualRows {
  at::Tensor row, token;
  bool any() const { return row.defined() && row.size(0) > 0; }
  // x with the tokens' own values, [count, ...], in their rows.
  template <class Values>
  at::Tensor put(const at::Tensor& x, const Values& values) const {
    return any() ? x.index_copy(0, row, values().index_select(0, token).to(x.scalar_type())) : x;
  }
};

// The batch with a first segment of `ids`, which all its roots continue.
PackedTokens behind_virtual_tokens(const PackedTokens& batch, const std::vector<int64_t>& ids);

}  // namespace temper
