// An adapter merged into a model's folder.
#pragma once

#include <c10/core/ScalarType.h>

#include <optional>
#include <string>

namespace temper {

// Writes to `to` the base folder's model with the adapter merged in. The sum is fp32 whatever the files hold,
// rounded once to `dtype` (default: the base's own). Returns merge_adapter's largest change of a log-prob, on
// 64 tokens and before that rounding. Throws UserError.
double merge_folder(const std::string& base, const std::string& adapter, const std::string& to,
                    std::optional<at::ScalarType> dtype);
// The same the other way: `merged` is a folder that the adapter was merged into.
double unmerge_folder(const std::string& merged, const std::string& adapter, const std::string& to,
                      std::optional<at::ScalarType> dtype);

}  // namespace temper
