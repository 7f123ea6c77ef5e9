// Blocks that are computed again in backward rather than kept.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace temper {

using Block = std::function<at::Tensor(const at::Tensor&)>;

// block(x), without keeping what is inside it; backward runs it again. `anchor` requires a gradient, so that
// the node is recorded even when only weights inside the block are trained. Not for a block below which and
// in which nothing trains: it needs no node.
at::Tensor recomputed(const at::Tensor& x, const at::Tensor& anchor, const Block& block);

}  // namespace temper
