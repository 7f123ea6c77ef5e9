// Rewards that compare a completion with reference texts of its record.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reward/reward.h"

namespace temper {

// completion and at least one reference, all valid UTF-8 -> score; nullopt: it could not tell.
using CompareTexts = std::function<std::optional<double>(const std::string& completion,
                                                         const std::vector<std::string>& references)>;

// The reward `kind` of the texts in `column` (columns.h); null where the column lists nothing.
std::unique_ptr<Reward> compared_with(std::string kind, std::string column, CompareTexts compare);

}  // namespace temper
