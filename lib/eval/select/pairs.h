// Pairs of candidates before a judge: a reward that compares a completion with a reference, or a reward
// model.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/select/select.h"
#include "reward/reward.h"

namespace temper {

// Two candidates of a ballot.
struct CandidatePair {
  size_t ballot = 0, first = 0, second = 0;
};

class CandidateJudge {
 public:
  explicit CandidateJudge(std::unique_ptr<Reward> reward, bool of_each = false)
      : reward_(std::move(reward)), of_each_(of_each) {}
  // It scores each candidate alone, so that comparing two again says the same.
  bool of_each() const { return of_each_; }
  // Of each pair what the reward says of the first beside the second, which stands in the columns "answer"
  // and "reference" of the first's record; null: it could not tell. of_each: with r what the reward says of
  // each, sigma(r_first - r_second), the chance that the first is better (Bradley and Terry 1952). Throws
  // what the reward throws.
  std::vector<std::optional<double>> compare(const std::vector<Ballot>& ballots,
                                             const std::vector<CandidatePair>& pairs,
                                             const SelectionContext& context);
  // What the reward says of each candidate alone, [ballot][candidate].
  std::vector<std::vector<std::optional<double>>> score(const std::vector<Ballot>& ballots,
                                                        const SelectionContext& context);

 private:
  std::vector<std::optional<double>> ask(const std::vector<RewardItem>& items,
                                         const SelectionContext& context);
  std::vector<std::optional<double>> compare_scores(const std::vector<Ballot>& ballots,
                                                    const std::vector<CandidatePair>& pairs,
                                                    const SelectionContext& context);
  std::unique_ptr<Reward> reward_;
  bool of_each_;
};

// The judge of pairs that the options make: a reward model's scores of each are compared.
CandidateJudge pair_judge(const RewardOptions& options);

// Which of each pair wins, true for the first, by more of `times` comparisons in which the judge gives it
// more than 1/2; comparisons that the judge could not make do not count, and of a draw the earlier one wins.
std::vector<bool> first_wins(CandidateJudge& judge, const std::vector<Ballot>& ballots,
                             const std::vector<CandidatePair>& pairs, int64_t times,
                             const SelectionContext& context);

// Problems of a judge of pairs.
void check_pair_judge(const RewardOptions* judge, std::vector<std::string>& problems,
                      const std::string& where);

}  // namespace temper
