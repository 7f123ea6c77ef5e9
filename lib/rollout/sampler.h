// Turning logits into one token: penalties, truncations, one draw by inverse CDF. formulas/sampling.md.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/fields.h"
#include "base/json.h"
#include "base/random.h"

namespace temper {

struct SamplingOptions : Fields {
  double temperature = 1.0;  // 0: greedy
  int64_t top_k = 0;         // 0: off
  double top_p = 1.0, min_p = 0.0;
  double typical_p = 1.0, epsilon_cutoff = 0.0, eta_cutoff = 0.0;
  // Mirostat (Basu et al. 2020, arXiv 2007.14966): the truncation that keeps a text's mean surprise, in bits,
  // at tau. 0: off.
  double mirostat_tau = 0.0, mirostat_lr = 1.0;
  double repetition_penalty = 1.0, presence_penalty = 0.0, frequency_penalty = 0.0;
  int64_t min_new_tokens = 0;
  int64_t max_new_tokens = 256;
  // Stop strings, which may hold special tokens; their text is cut off, their tokens are kept as ids.
  std::vector<std::string> stop;
  std::vector<std::string> ban;  // texts that may not appear in a completion, such as control tokens
  // What a completion's text must be, of each turn: a regular expression, or JSON of a schema (the object, or
  // its file); grammar/regex.h and grammar/schema.h. Or the records' column with one of their own. At most
  // one of the four; "" and null: anything.
  std::string regex;
  Json json_schema = nullptr;
  std::string regex_column, json_schema_column;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool truncates() const;  // some token may be ruled out by top_k ... eta_cutoff, or mirostat
  bool penalises() const;  // what came before matters
  bool mirostat() const { return mirostat_tau > 0; }
  bool constrains() const { return !regex.empty() || !json_schema.is_null() || constrains_by_record(); }
  bool constrains_by_record() const { return !regex_column.empty() || !json_schema_column.empty(); }
};

// A token and its log-prob under the model's own distribution: temperature 1, nothing ruled out.
struct TokenLogprob {
  int64_t id = 0;
  float logp = 0;
};

struct SampledToken {
  int64_t id = 0;
  // Log-prob under the distribution that was sampled: penalties, temperature, truncation; greedy: logp_full.
  float logp = 0;
  float logp_full =
      0;  // after temperature only, over the whole vocabulary: what the trainer computes; greedy: at 1
  // Of a constrained draw, the log of what the constraint allows of the probability, or of an unbiased
  // estimate of it (constrained.h).
  double log_weight = 0;
  // Where it is asked for (TokenDraws): the token itself, and then the likeliest ones in its place.
  std::vector<TokenLogprob> ranked = {};
};

// The ids of prompt and output so far, each with the number of times it stands in the output: the repetition
// penalty falls on all of them, presence and frequency penalties on those of the output.
using SeenTokens = std::unordered_map<int64_t, int64_t>;

// One draw from logits [vocab], with `uniform` in [0, 1): the lowest id whose cumulated probability exceeds
// it. Greedy takes the largest logit, ties to the lowest id. seen is read only when options.penalises();
// banned: ids that may not come (end ids before min_new_tokens). logits is scratch and may be overwritten. A
// function of its arguments alone. Throws UserError when a logit is NaN or +inf (the model diverged) or every
// token is ruled out. Without mirostat, whose draws depend on those before: mirostat.h.
SampledToken sample_token(float* logits, int64_t vocab, const SamplingOptions& options,
                          const SeenTokens& seen, const std::vector<int64_t>& banned, double uniform);

}  // namespace temper
