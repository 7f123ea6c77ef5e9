// When a reward from outside gives so many nulls that the run had better stop.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>

namespace temper {

class NullShare {
 public:
  // fail_share: of the last 100 scores that may be null.
  explicit NullShare(double fail_share) : fail_share_(fail_share) {}
  // Why to stop, once more than that share of the last 100 scores, of 20 at least, is null.
  std::optional<std::string> add(bool null);

 private:
  double fail_share_;
  std::deque<bool> window_;
};

}  // namespace temper
