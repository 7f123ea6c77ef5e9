// What the methods that read statistics share.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "merge/method.h"

namespace temper {

// The linear's name of a weight that statistics of linears speak of: all models have "<module>.gram". Nothing
// for other tensors. Throws UserError when some have it and some do not, or its shape does not fit.
std::optional<std::string> module_with_gram(const MergeTensor& tensor);

// The statistic of one model, all of it in fp32. Throws UserError when the file lacks it or has another
// shape.
at::Tensor statistic(const SafetensorsFile& file, const std::string& name, const std::vector<int64_t>& shape);
// The same, to be read in pieces.
StoredTensor stored_statistic(const SafetensorsFile& file, const std::string& name,
                              const std::vector<int64_t>& shape);

// A Gram matrix whose elements off the diagonal are multiplied by `factor`, in place.
at::Tensor scale_off_diagonal(at::Tensor gram, double factor);

}  // namespace temper
