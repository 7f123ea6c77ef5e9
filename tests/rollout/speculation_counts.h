// Tokens that speculative decoding writes, counted against the model's own probabilities.
#pragma once

#include <cstdint>
#include <string>

namespace temper {

struct ChiSquare {
  double value = 0;
  int64_t freedom = 0;
  int64_t drafted = 0, accepted = 0;
  double logp_error = 0;  // the largest, of the log-probs that came with the tokens
};

// `tokens` tokens of a model of a few ids, in texts of four. Behind every beginning that is frequent enough,
// the counts of what came next against what the model says comes next after temperature, penalties and
// truncation. kind: "lookup", "skip", "draft", or "draft alone", which takes the draft model's tokens as they
// are. options: 0 plain sampling; 1 with all that changes a distribution.
ChiSquare chi_square(const std::string& kind, int64_t options, int64_t tokens);

}  // namespace temper
