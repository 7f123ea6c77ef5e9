// Which entries DARE keeps.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace temper {

// fp32 [end - begin], 1 for the elements of [begin, end) that are kept: those whose draw of the stream (seed,
// "merge.dare.<tensor>", 0, model) is below `density`, the element's place being the draw's number.
at::Tensor dare_mask(uint64_t seed, const std::string& tensor, uint64_t model, double density, int64_t begin,
                     int64_t end);

}  // namespace temper
