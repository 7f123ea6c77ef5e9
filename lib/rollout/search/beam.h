// Beam search.
#pragma once

#include <string>
#include <vector>

#include "rollout/search/text_search.h"

namespace temper {

// As transformers' _beam_search: at each token the (1 + end ids) beams best continuations of all beams are
// looked at. Those of the best `beams` that end are kept with the score sum of log-probs /
// length^length_penalty, the end token counted; the best `beams` of the others go on. The ends of a model are
// banned before min_new_tokens; at max_new_tokens all end.
struct BeamOptions : TextSearchOptions {
  int64_t beams = 4;
  double length_penalty = 1.0;
  // When `beams` completions have ended: "true" stops; "false" when the best one that goes on has, at its
  // length of now, a lower score than the worst of them; "never" when none could still be better at
  // max_new_tokens.
  std::string early_stopping = "false";
  void fields(FieldVisitor& v) override;
  int64_t most() const override { return beams; }
  std::vector<Completion> find(const SearchScene& scene, const GenerateRequest& request) const override;
};

}  // namespace temper
