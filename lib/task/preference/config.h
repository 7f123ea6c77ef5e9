// The sections of the config that only preference runs have.
#pragma once

#include <string>
#include <vector>

#include "base/fields.h"

namespace temper {

struct RunConfig;

// The reference model of a preference run.
struct ReferenceSection : Fields {
  std::string cache = "auto";
  int64_t sync_every = 0;
  double sync_share = 0.6;
  void fields(FieldVisitor& v) override;
};

// Where the pairs come from.
struct PairsSection : Fields {
  std::string from = "stored";
  int64_t max_rounds = 10;                           // online
  int64_t stages = 3;                                // ratings
  std::string form = "practical", separator = "\n";  // steps
  int64_t attempts = 5;
  void fields(FieldVisitor& v) override;
  int64_t count_stages() const { return from == "ratings" ? stages : 1; }
};

// Rules that span the sections of a preference run.
void check_preference(const RunConfig& config, std::vector<std::string>& problems);

// Whether completions are sampled during training and scored by the run's rewards.
bool samples_pairs(const RunConfig& config);
// Whether the reference's log-probs of the stored answers are computed once, before training. "auto": where
// the reference is a second model in memory, which then need not stay (adapters are switched off instead).
bool caches_reference(const RunConfig& config, bool adapter_switches_off);
// Whether the reference follows the policy, and so has weights of its own in the checkpoints.
bool moves_reference(const RunConfig& config);

}  // namespace temper
