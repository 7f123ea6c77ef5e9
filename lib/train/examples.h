// Records as examples with targets, for the loops that learn or measure stored completions.
#pragma once

#include <vector>

#include "data/records.h"
#include "train/micro_batch.h"

namespace temper {

class Session;

// The records that fit into data.max_tokens.
struct Examples {
  std::vector<Example> examples;
  std::vector<const Record*> records;  // of each
};
Examples encode_examples(const Session& session, const std::vector<Record>& records);

// Those of session.train_records; says how many were left out. Throws UserError when none fits.
Examples encode_train_examples(const Session& session);

// The whole example as one sequence without a prompt of its own. The example must outlive it.
Sequence whole_sequence(const Example& example, int64_t group);

}  // namespace temper
