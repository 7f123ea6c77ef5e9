// Selectors that compare candidates with each other: mbr, knockout, verify.
#include <algorithm>

#include "base/error.h"
#include "base/random.h"
#include "base/statistics.h"
#include "eval/select/candidates.h"
#include "eval/select/pairs.h"
#include "eval/select/selectors.h"
#include "reward/text/rouge.h"

namespace temper {
namespace {

class MbrSelector : public Selector {
 public:
  explicit MbrSelector(const MbrOptions& o)
      : utility_(o.utility->make()), evidence_(static_cast<size_t>(o.evidence)) {}

  std::vector<Choice> choose(const std::vector<Ballot>& ballots, const SelectionContext& context) override {
    std::vector<Choice> out;
    for (size_t b = 0; b < ballots.size(); ++b) out.push_back(choose(ballots, b, context));
    return out;
  }

 private:
  // A ballot at a time: its n (n - 1) pairs.
  Choice choose(const std::vector<Ballot>& ballots, size_t b, const SelectionContext& context) {
    const size_t n = ballots[b].candidates.size();
    if (evidence_ > 0 && evidence_ >= n)
      user_error("selector mbr: evidence {}: leaves none of {} candidates to choose", evidence_, n);
    const size_t chosen_of = n - evidence_, first_evidence = evidence_ > 0 ? chosen_of : 0;
    std::vector<CandidatePair> pairs;
    for (size_t i = 0; i < chosen_of; ++i)
      for (size_t j = first_evidence; j < n; ++j)
        if (i != j) pairs.push_back({b, i, j});
    if (pairs.empty()) return n == 0 ? Choice{} : Choice{0};
    const auto said = utility_.compare(ballots, pairs, context);
    std::vector<std::vector<double>> utilities(chosen_of);
    for (size_t p = 0; p < pairs.size(); ++p)
      if (said[p]) utilities[pairs[p].first].push_back(*said[p]);
    std::vector<std::optional<double>> means(chosen_of);
    for (size_t i = 0; i < chosen_of; ++i) {
      std::vector<double>& u = utilities[i];
      std::sort(u.begin(), u.end());  // so that the means of equal texts are equal to the last bit
      if (!u.empty()) means[i] = mean(u);
    }
    const auto best = largest(means);
    return best ? Choice{*best} : Choice{};
  }

  CandidateJudge utility_;
  size_t evidence_;
};

class KnockoutSelector : public Selector {
 public:
  explicit KnockoutSelector(const KnockoutOptions& o) : judge_(pair_judge(*o.judge)), times_(o.times) {}
  bool asks() const override { return true; }

  std::vector<Choice> choose(const std::vector<Ballot>& ballots, const SelectionContext& context) override {
    // Who is left of each ballot, in the order in which they meet.
    std::vector<std::vector<size_t>> left;
    for (size_t b = 0; b < ballots.size(); ++b) {
      RandomStream random(context.seed, "knockout", 0, b);
      left.emplace_back();
      for (const int64_t i : random.permutation(static_cast<int64_t>(ballots[b].candidates.size())))
        left.back().push_back(static_cast<size_t>(i));
    }
    // A round of all ballots at a time, so that the judge is asked in few batches. The order of a round's
    // winners is random too, being that of the first draw.
    for (;;) {
      std::vector<CandidatePair> pairs;
      for (size_t b = 0; b < left.size(); ++b)
        for (size_t i = 0; i + 1 < left[b].size(); i += 2) pairs.push_back({b, left[b][i], left[b][i + 1]});
      if (pairs.empty()) break;
      const std::vector<bool> first = first_wins(judge_, ballots, pairs, times_, context);
      std::vector<std::vector<size_t>> winners(left.size());
      for (size_t p = 0; p < pairs.size(); ++p)
        winners[pairs[p].ballot].push_back(first[p] ? pairs[p].first : pairs[p].second);
      for (size_t b = 0; b < left.size(); ++b)
        if (left[b].size() % 2 == 1) winners[b].push_back(left[b].back());
      left = std::move(winners);
    }
    return left;
  }

 private:
  CandidateJudge judge_;
  int64_t times_;
};

class VerifySelector : public Selector {
 public:
  explicit VerifySelector(const VerifyOptions& o)
      : verifier_(o.verifier->make()), times_(o.times), margin_(o.margin) {
    if (o.judge != nullptr) judge_ = std::make_unique<CandidateJudge>(pair_judge(*o.judge));
  }
  bool asks() const override { return true; }

  std::vector<Choice> choose(const std::vector<Ballot>& ballots, const SelectionContext& context) override {
    const auto verdicts = mean_verdicts(ballots, context);
    std::vector<Choice> close;  // those within the margin, the best first
    for (const auto& of_ballot : verdicts) {
      close.emplace_back();
      const auto best = largest(of_ballot);
      if (!best) continue;
      for (size_t i = 0; i < of_ballot.size(); ++i)
        if (of_ballot[i] && *of_ballot[i] >= *of_ballot[*best] - margin_) close.back().push_back(i);
      std::stable_sort(close.back().begin(), close.back().end(),
                       [&](size_t a, size_t b) { return *of_ballot[a] > *of_ballot[b]; });
    }
    return judge_ == nullptr ? by_answers(ballots, close) : by_duels(ballots, close, context);
  }

 private:
  std::vector<std::vector<std::optional<double>>> mean_verdicts(const std::vector<Ballot>& ballots,
                                                                const SelectionContext& context) {
    std::vector<std::vector<double>> sums;
    std::vector<std::vector<int64_t>> counts;
    for (const Ballot& ballot : ballots) {
      sums.emplace_back(ballot.candidates.size());
      counts.emplace_back(ballot.candidates.size());
    }
    for (int64_t t = 0; t < times_; ++t) {
      const auto said = verifier_.score(ballots, context);
      for (size_t b = 0; b < said.size(); ++b)
        for (size_t i = 0; i < said[b].size(); ++i)
          if (said[b][i]) sums[b][i] += *said[b][i], ++counts[b][i];
    }
    std::vector<std::vector<std::optional<double>>> out;
    for (size_t b = 0; b < sums.size(); ++b) {
      out.emplace_back(sums[b].size());
      for (size_t i = 0; i < sums[b].size(); ++i)
        if (counts[b][i] > 0) out[b][i] = sums[b][i] / static_cast<double>(counts[b][i]);
    }
    return out;
  }

  // The best of those that gave the answer which most of the close ones gave.
  static std::vector<Choice> by_answers(const std::vector<Ballot>& ballots,
                                        const std::vector<Choice>& close) {
    std::vector<Choice> out;
    for (size_t b = 0; b < ballots.size(); ++b) {
      Ballot among;
      for (const size_t i : close[b]) among.candidates.push_back(ballots[b].candidates[i]);
      const auto clusters = answer_clusters(among);
      const auto most = std::max_element(
          clusters.begin(), clusters.end(),
          [](const AnswerCluster& x, const AnswerCluster& y) { return x.members.size() < y.members.size(); });
      if (close[b].empty())
        out.emplace_back();
      else
        out.push_back({close[b][most == clusters.end() ? 0 : most->members[0]]});
    }
    return out;
  }

  std::vector<Choice> by_duels(const std::vector<Ballot>& ballots, const std::vector<Choice>& close,
                               const SelectionContext& context) {
    std::vector<CandidatePair> pairs;
    for (size_t b = 0; b < close.size(); ++b)
      for (size_t i = 0; i < close[b].size(); ++i)
        for (size_t j = i + 1; j < close[b].size(); ++j) pairs.push_back({b, close[b][i], close[b][j]});
    const std::vector<bool> first = first_wins(*judge_, ballots, pairs, 1, context);
    std::vector<std::vector<int64_t>> wins;
    for (const Ballot& ballot : ballots) wins.emplace_back(ballot.candidates.size());
    for (size_t p = 0; p < pairs.size(); ++p)
      ++wins[pairs[p].ballot][first[p] ? pairs[p].first : pairs[p].second];
    std::vector<Choice> out;
    for (size_t b = 0; b < close.size(); ++b) {
      const auto best = std::max_element(close[b].begin(), close[b].end(),
                                         [&](size_t x, size_t y) { return wins[b][x] < wins[b][y]; });
      out.push_back(best == close[b].end() ? Choice{} : Choice{*best});
    }
    return out;
  }

  CandidateJudge verifier_;
  std::unique_ptr<CandidateJudge> judge_;
  int64_t times_;
  double margin_;
};

}  // namespace

MbrOptions::MbrOptions() : utility(std::make_unique<RougeOptions>()) {}
void MbrOptions::fields(FieldVisitor& v) {
  v.choice(
      "utility", "kind", utility, utility_kind, reward_registry(),
      "how good a candidate is beside another: a reward that compares with a reference, such as rouge, bleu, "
      "f1, chrf or embedding");
  v.field("evidence", evidence,
          {.help = "the last so many candidates are only compared with; 0: all are candidates and evidence",
           .min = 0});
}
std::unique_ptr<Selector> MbrOptions::make() const {
  return std::make_unique<MbrSelector>(*this);
}

void KnockoutOptions::fields(FieldVisitor& v) {
  v.choice(
      "judge", "kind", judge, judge_kind, reward_registry(),
      "how likely a candidate is better than the one in the column \"reference\", such as the reward judge "
      "in the mode pairwise; or the reward model, whose higher score wins");
  v.field("times", times, {.help = "comparisons of each pair", .min = 1});
}
void KnockoutOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (judge == nullptr) problems.push_back(where + ".judge: expected a reward that compares two answers");
  check_pair_judge(judge.get(), problems, where + ".judge");
}
std::unique_ptr<Selector> KnockoutOptions::make() const {
  return std::make_unique<KnockoutSelector>(*this);
}

void VerifyOptions::fields(FieldVisitor& v) {
  v.choice("verifier", "kind", verifier, verifier_kind, reward_registry(),
           "how likely a candidate is right, such as the reward judge of the model's own folder");
  v.choice("judge", "kind", judge, judge_kind, reward_registry(),
           "who compares those that are close; none: the answer that most of them gave");
  v.field("times", times, {.help = "verdicts on each candidate", .min = 1});
  v.field("margin", margin, {.help = "below the best mean verdict, what is close to it", .min = 0});
}
void VerifyOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (verifier == nullptr) problems.push_back(where + ".verifier: expected a reward that says what is right");
  check_pair_judge(judge.get(), problems, where + ".judge");
}
std::unique_ptr<Selector> VerifyOptions::make() const {
  return std::make_unique<VerifySelector>(*this);
}

}  // namespace temper
