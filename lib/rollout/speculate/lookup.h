// Prompt look-up: the draft is what followed the text's last tokens where they stood before.
#pragma once

#include <memory>
#include <vector>

#include "rollout/speculate/speculator.h"

namespace temper {

struct LookupOptions : SpeculationOptions {
  int64_t ngram_max = 3, ngram_min = 1;
  bool adapt = true;  // a text's drafts are as long as pays: transformers' heuristic of assisted decoding
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Speculator> begin(const SpeculationScene& scene) const override;
};

// `count` tokens that follow the text's last n in the newest earlier place where they stand, for the largest
// n in [ngram_min, ngram_max] that has one; none without such a place. What would lie behind the text is read
// from the draft itself, so that a repetition goes on.
std::vector<int64_t> look_up(const std::vector<int64_t>& text, int64_t ngram_min, int64_t ngram_max,
                             int64_t count);

}  // namespace temper
