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

// Rules that span the sections of a preference run.
void check_preference(const RunConfig& config, std::vector<std::string>& problems);

// Whether the reference's log-probs of the stored answers are computed once, before training. "auto": where
// the reference is a second model in memory, which then need not stay (adapters are switched off instead).
bool caches_reference(const RunConfig& config, bool adapter_switches_off);
// Whether the reference follows the policy, and so has weights of its own in the checkpoints.
bool moves_reference(const RunConfig& config);

}  // namespace temper
