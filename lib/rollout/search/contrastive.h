// Contrastive search (Su et al. 2022, arXiv 2202.06417).
#pragma once

#include <vector>

#include "rollout/search/text_search.h"

namespace temper {

// The next token is, of the top_k most probable v, the one with the largest
//   (1 - alpha) p(v) - alpha max_j cos(h_v, h_j),
// h the final-norm hidden states, h_v behind the text and v, j over the tokens of prompt and text.
struct ContrastiveOptions : TextSearchOptions {
  int64_t top_k = 4;
  double alpha = 0.6;  // 0: greedy
  void fields(FieldVisitor& v) override;
  std::vector<Completion> find(const SearchScene& scene, const GenerateRequest& request) const override;
};

}  // namespace temper
