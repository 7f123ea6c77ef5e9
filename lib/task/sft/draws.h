// Which examples the steps of a supervised run take: the order of data, or shares of its files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/records.h"

namespace temper {

struct DrawSettings {
  uint64_t seed = 1;
  std::string order = "shuffle";
  int64_t steps = 0, batch_size = 0;
  // Shares of the sources in the first and in the last step, linear in between; they need not add up to 1.
  // No end_weights: the weights throughout.
  std::vector<double> weights, end_weights;
};

// A pure function of the step.
class Draws {
 public:
  // source_of[u]: the source of unit u, 0 .. weights.size() - 1. Throws UserError when a source with a weight
  // has no unit.
  Draws(const std::vector<int64_t>& source_of, DrawSettings settings);

  // The units of a step (from 0), batch_size of them. Each draw takes a source at random, and that source's
  // next unit in epochs of its own. Steps in order cost least.
  std::vector<int64_t> step(int64_t step);

 private:
  int64_t source(int64_t step, int64_t i) const;
  DrawSettings settings_;
  std::vector<std::vector<int64_t>> units_;  // of each source
  std::vector<RecordOrder> orders_;
  std::vector<int64_t> taken_;  // from each source, before step next_
  int64_t next_ = 0;
};

}  // namespace temper
