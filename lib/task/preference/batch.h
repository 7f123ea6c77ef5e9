// The answers of a preference run and the ragged numbers of a step of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "data/large/encoded.h"
#include "data/records.h"
#include "objective/preference/preference.h"
#include "train/micro_batch.h"

namespace temper {

class Session;

// Answers in units of what a loss has one value for: pairs (chosen, rejected), single labelled answers, lists
// of candidates (best first), or each response after each of several prompts.
struct Answers {
  // In memory, or of large data as bytes in the cache, of each unit where.
  std::vector<Answer> all;
  std::shared_ptr<const EncodedRecords> stored;  // null: in memory
  std::vector<Records::Place> places;
  std::vector<bool> labels;  // unpaired only
  int64_t unit = 2;          // answers of a unit
  int64_t dropped = 0;       // units with an overlong answer
  int64_t identical = 0;     // units left out because two of their responses are the same (sami)
  int64_t units() const {
    if (stored != nullptr) return static_cast<int64_t>(places.size());
    return unit == 0 ? 0 : static_cast<int64_t>(all.size()) / unit;
  }
  std::vector<Answer> of(int64_t unit) const;
};
// Throws UserError for records of another form, and for lists of different lengths.
Answers encode_answers(const Session& session, const Records& records,
                       const objective::PreferenceNeeds& needs);

// The numbers of some units, in order.
struct PreferenceStep {
  std::vector<Answer> answers;         // of the units
  std::vector<Sequence> sequences;     // point into them
  std::vector<int64_t> offsets = {0};  // [S + 1] first target of each sequence among the [M]
  objective::PreferenceBatch batch;    // logp is zeros until somebody computes it
  int64_t unit = 2;
  int64_t tokens = 0;  // a shared prompt counts once
};
PreferenceStep gather(const Answers& answers, const std::vector<int64_t>& units);

// The numbers of sequences [first, last): a micro-batch's share.
objective::PreferenceBatch slice(const PreferenceStep& step, int64_t first, int64_t last);

}  // namespace temper
