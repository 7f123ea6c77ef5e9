// Which pairs, or labelled answers, a step of a preference run learns from: config section "pairs".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/order/order.h"
#include "data/records.h"
#include "run/metrics.h"
#include "task/preference/batch.h"
#include "train/rollouts.h"

namespace temper {

class ReferenceCache;
class RunOrder;
struct PreferenceTask;

struct PairDraw {
  const Answers* answers = nullptr;       // the source's
  std::vector<int64_t> units;             // of the answers
  const ReferenceCache* cache = nullptr;  // of the answers' reference log-probs; null: none
  NamedValues metrics;                    // of sampling
  double sampling_s = 0, scoring_s = 0;   // scoring: the part of sampling that waited for scores
};

class PairSource {
 public:
  // Encodes the data, and fills the cache of reference log-probs where the run has one. Throws UserError when
  // nothing is left to learn from.
  PairSource(Session& session, const PreferenceTask& task);
  ~PairSource();

  // What step session.state.step learns from; the session's cursor (and leftovers) move on. Sampling may
  // throw Interrupted; then nothing has moved.
  PairDraw draw();
  // Whether the step begins a stage that follows another: pairs of ratings go from easy to hard.
  bool begins_stage(int64_t step) const { return step > 0 && stage_of(step) != stage_of(step - 1); }

  // The held-out pairs or answers, of all stages; of so many records (a stage's each), `without` of which
  // give no pair.
  Answers held_out(int64_t* records, int64_t* without) const;
  // The cache of these answers' reference log-probs, computed when first asked for; null: the run has none.
  const ReferenceCache* held_out_cache(const Answers& answers, const std::vector<int64_t>& units);

 private:
  struct Stage {
    Answers answers;
    std::unique_ptr<Order> order;
    int64_t first = 0, last = 0;  // its steps [first, last)
  };
  int64_t stage_of(int64_t step) const;
  std::vector<int64_t> units_of(const Stage& stage, int64_t step) const;
  void encode_stage(int64_t index);
  PairDraw sample();

  Session& s_;
  const PreferenceTask& task_;
  std::vector<Stage> stages_;
  std::unique_ptr<ReferenceCache> cache_, held_out_cache_;  // of the only stage; null: none
  TrainPrompts prompts_;                                    // online
  std::unique_ptr<RunOrder> order_;                         // ... of them
  Answers sampled_;                                         // online: the newest step's
};

}  // namespace temper
