// Blocks that are computed again in backward rather than kept.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace temper {

using Tensors = std::vector<at::Tensor>;
using Block = std::function<Tensors(const Tensors&)>;

// block(in), without keeping what is inside it; backward runs it again. All that the block reads and that
// takes gradients stands in `in`, but for leaves. `anchor` requires a gradient, so that the node is recorded
// even when only weights inside the block are trained. Not for a block below which and in which nothing
// trains: it needs no node.
Tensors recomputed(const Tensors& in, const at::Tensor& anchor, const Block& block);

}  // namespace temper
