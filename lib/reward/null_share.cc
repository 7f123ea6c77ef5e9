#include "reward/null_share.h"

#include <fmt/core.h>

#include <algorithm>

namespace temper {
namespace {

constexpr size_t kWindow = 100, kMinWindow = 20;

}  // namespace

std::optional<std::string> NullShare::add(bool null) {
  window_.push_back(null);
  if (window_.size() > kWindow) window_.pop_front();
  const auto nulls = std::count(window_.begin(), window_.end(), true);
  if (window_.size() < kMinWindow ||
      static_cast<double>(nulls) <= fail_share_ * static_cast<double>(window_.size()))
    return std::nullopt;
  return fmt::format("{} of its last {} scores are null, more than fail_share {} allows", nulls,
                     window_.size(), fail_share_);
}

}  // namespace temper
