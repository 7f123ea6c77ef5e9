// Draft & Verify (Zhang et al. 2023, arXiv 2309.08168): the model drafts for itself, without some of its
// sub-layers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rollout/contexts.h"
#include "rollout/speculate/drafting.h"

namespace temper {

struct SkipOptions : DraftingOptions {
  std::vector<double> attention, mlp;  // layers whose sub-layer is skipped
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Speculator> begin(const SpeculationScene& scene) const override;
};

}  // namespace temper
