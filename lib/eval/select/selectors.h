// The selectors and their options. formulas/evaluation.md, formulas/rewards.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "eval/select/select.h"
#include "reward/reward.h"

namespace temper {

// The most frequent answer; its first candidate (self-consistency, arXiv 2203.11171).
struct MajorityOptions : SelectorOptions {
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Selector> make() const override;
  bool reads_rewards() const override { return true; }
};

// The answer with the largest sum of scores over its candidates,
//   argmax_a sum_{i: answer_i = a} score_i   (easy-to-hard, arXiv 2403.09472, "weighted voting"),
// of the `clusters` most frequent answers (solution-cluster re-ranking, arXiv 2310.10047) or of all; of it
// the candidate of the highest score.
struct WeightedOptions : SelectorOptions {
  std::string by = "total";
  std::string weight = "score";  // | probability: the logistic function of it
  int64_t clusters = 0;
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Selector> make() const override;
  bool reads_rewards() const override { return true; }
};

// The candidate of the highest score: best of n, RM@n (arXiv 2409.12122).
struct BestOfOptions : SelectorOptions {
  std::string by = "total";
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Selector> make() const override;
  bool reads_rewards() const override { return true; }
};

// Best-of-Majority: of the answers that at least `share` of the candidates gave (where there is none, of the
// most frequent ones) those of the highest score, each as high as its best candidate; `submit` of them are
// given, and one that is correct is enough.
struct BestOfMajorityOptions : SelectorOptions {
  std::string by = "total";
  double share = 0.1;
  int64_t submit = 1;
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Selector> make() const override;
  bool reads_rewards() const override { return true; }
};

// Minimum Bayes risk: argmax_i mean_{j != i} u(y_i, y_j), with a reward that compares with a reference as u,
// the other candidate being the reference (arXiv 2211.07634). With bleu this is the vote by similarity of
// arXiv 2402.05120. The last `evidence` candidates are compared with and not chosen; 0: all are both.
struct MbrOptions : SelectorOptions {
  std::string utility_kind = "rouge";
  std::unique_ptr<RewardOptions> utility;
  int64_t evidence = 0;
  MbrOptions();
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Selector> make() const override;
};

// A knockout tournament (arXiv 2411.19477): candidates are paired at random, of each pair the one goes on
// that a judge prefers in more of `times` comparisons, one without a partner goes on at once, until one is
// left. The judge: a reward that compares, or a reward model, whose scores of the two are compared (pairs.h).
struct KnockoutOptions : SelectorOptions {
  std::string judge_kind;
  std::unique_ptr<RewardOptions> judge;
  int64_t times = 1;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Selector> make() const override;
};

// Self-verification (arXiv 2502.01839): each candidate's score is the mean of `times` verdicts of a verifier;
// of those within `margin` of the best, each pair is compared by the judge, and the one with most wins is
// chosen, of equal ones the better scored. Without a judge: the answer that most of the close ones gave.
struct VerifyOptions : SelectorOptions {
  std::string verifier_kind, judge_kind;
  std::unique_ptr<RewardOptions> verifier, judge;
  int64_t times = 1;
  double margin = 0.05;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Selector> make() const override;
};

}  // namespace temper
