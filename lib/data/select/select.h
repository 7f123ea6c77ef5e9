// Rules that choose what is learnt next of answers that were sampled and scored: pure functions over records.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "data/records.h"

namespace temper {

// What a rule sees beside the records, and where it puts what there is to report.
struct SelectContext {
  uint64_t seed = 1;
  int64_t round = 0;                                         // of those that a run goes through, from 0
  std::vector<Record> earlier = {};                          // what earlier rounds kept, oldest first
  std::vector<std::pair<std::string, double>> figures = {};  // name and value, appended by each rule
};

// A rule and its options; `name` picks it from the registry. Records in are groups (data/groups.h) or answers
// of their own, {"prompt", "completion", "reward"}; answers to one prompt belong together wherever they
// stand. An answer whose reward is null is left out. The same records, options, seed and round give the same
// records; draws come from RandomStream(seed, the rule's purpose, round, index).
struct SelectOptions : Fields {
  // May give no record. Throws UserError at a record's place, or when a rule that reads rewards finds none at
  // all.
  virtual std::vector<Record> select(std::vector<Record> in, SelectContext& context) const = 0;
};
const Registry<SelectOptions>& select_registry();

}  // namespace temper
