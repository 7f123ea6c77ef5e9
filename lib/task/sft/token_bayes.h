// An online Bernoulli naive Bayes classifier of texts by which tokens stand in them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace temper {

// Two classes. With n_c texts of class c, n_cv of which have token v, and V tokens in all:
//   log P(c | text) = log n_c / n + sum over v of log(p_cv where the text has v, else 1 - p_cv) - normaliser,
//   p_cv = (n_cv + smoothing) / (n_c + 2 smoothing),
// as scikit-learn's BernoulliNB with partial_fit(classes=[0, 1]).
class TokenBayes {
 public:
  TokenBayes(int64_t vocab, double smoothing);

  // Token ids; how often and in which order does not matter.
  void learn(const std::vector<int64_t>& text, bool label);
  // log P(label | text), <= 0; -infinity for a class that was never seen beside one that was, log 1/2 before
  // anything was learnt.
  double log_probability(const std::vector<int64_t>& text, bool label) const;

  // {"texts": [n_0, n_1], "tokens": [v, n_0v, n_1v, ...]} of the tokens that were seen.
  Json state() const;
  // Throws UserError, naming `where`, for anything else.
  void load(const Json& state, const std::string& where);

 private:
  double absent(int label) const;  // sum over all tokens of log(1 - p_cv)
  double smoothing_;
  std::array<int64_t, 2> texts_ = {0, 0};
  std::array<std::vector<int64_t>, 2> with_;   // [V] n_cv
  mutable std::array<double, 2> absent_ = {};  // of the counts as they are, when fresh_
  mutable bool fresh_ = false;
};

}  // namespace temper
