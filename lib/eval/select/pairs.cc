#include "eval/select/pairs.h"

#include <chrono>
#include <cmath>
#include <future>
#include <map>

#include "base/json.h"
#include "reward/model_reward.h"
#include "reward/remote/judge.h"

namespace temper {
namespace {

RewardItem item_of(const Ballot& ballot, size_t candidate, const Json& columns) {
  const Candidate& c = ballot.candidates[candidate];
  RewardItem item{ballot.prompt, c.text, c.text, &columns};
  item.truncated = c.truncated;
  return item;
}

const Json& columns_of(const Ballot& ballot) {
  static const Json kNone = Json::object();
  return ballot.columns == nullptr ? kNone : *ballot.columns;
}

}  // namespace

CandidateJudge pair_judge(const RewardOptions& options) {
  return CandidateJudge(options.make(), dynamic_cast<const ModelRewardOptions*>(&options) != nullptr);
}

std::vector<std::optional<double>> CandidateJudge::ask(const std::vector<RewardItem>& items,
                                                       const SelectionContext& context) {
  constexpr std::chrono::milliseconds kWait(100);
  std::vector<Score> said;
  if (reward_->external() && context.on_wait) {
    auto waits = std::async(std::launch::async, [&] { return reward_->score(items); });
    try {
      while (waits.wait_for(kWait) != std::future_status::ready) context.on_wait();
    } catch (...) {
      reward_->interrupt();  // the future waits for it
      throw;
    }
    said = waits.get();
  } else {
    said = reward_->score(items);
  }
  std::vector<std::optional<double>> out;
  for (const Score& score : said) out.push_back(score.value);
  return out;
}

std::vector<std::optional<double>> CandidateJudge::compare(const std::vector<Ballot>& ballots,
                                                           const std::vector<CandidatePair>& pairs,
                                                           const SelectionContext& context) {
  if (of_each_) return compare_scores(ballots, pairs, context);
  std::map<std::pair<size_t, size_t>, Json> columns;  // with the second of a pair as the reference
  std::vector<RewardItem> items;
  for (const CandidatePair& pair : pairs) {
    const Ballot& ballot = ballots[pair.ballot];
    const auto [at, added] = columns.try_emplace({pair.ballot, pair.second});
    if (added) {
      at->second = columns_of(ballot);
      at->second["answer"] = at->second["reference"] = ballot.candidates[pair.second].text;
    }
    items.push_back(item_of(ballot, pair.first, at->second));
  }
  return ask(items, context);
}

std::vector<std::optional<double>> CandidateJudge::compare_scores(const std::vector<Ballot>& ballots,
                                                                  const std::vector<CandidatePair>& pairs,
                                                                  const SelectionContext& context) {
  std::map<std::pair<size_t, size_t>, size_t> places;  // of each candidate among those that are scored
  std::vector<RewardItem> items;
  for (const CandidatePair& pair : pairs) {
    const Ballot& ballot = ballots[pair.ballot];
    for (const size_t candidate : {pair.first, pair.second}) {
      if (places.try_emplace({pair.ballot, candidate}, items.size()).second)
        items.push_back(item_of(ballot, candidate, columns_of(ballot)));
    }
  }
  const auto scores = ask(items, context);
  std::vector<std::optional<double>> out;
  for (const CandidatePair& pair : pairs) {
    const auto first = scores[places.at({pair.ballot, pair.first})],
               second = scores[places.at({pair.ballot, pair.second})];
    out.push_back(first && second ? std::optional(1 / (1 + std::exp(*second - *first))) : std::nullopt);
  }
  return out;
}

std::vector<std::vector<std::optional<double>>> CandidateJudge::score(const std::vector<Ballot>& ballots,
                                                                      const SelectionContext& context) {
  std::vector<RewardItem> items;
  for (const Ballot& ballot : ballots) {
    for (size_t i = 0; i < ballot.candidates.size(); ++i)
      items.push_back(item_of(ballot, i, columns_of(ballot)));
  }
  const auto said = ask(items, context);
  std::vector<std::vector<std::optional<double>>> out;
  size_t next = 0;
  for (const Ballot& ballot : ballots) {
    out.emplace_back(said.begin() + static_cast<std::ptrdiff_t>(next),
                     said.begin() + static_cast<std::ptrdiff_t>(next + ballot.candidates.size()));
    next += ballot.candidates.size();
  }
  return out;
}

std::vector<bool> first_wins(CandidateJudge& judge, const std::vector<Ballot>& ballots,
                             const std::vector<CandidatePair>& pairs, int64_t times,
                             const SelectionContext& context) {
  std::vector<double> lead(pairs.size());
  for (int64_t t = 0; t < (judge.of_each() ? 1 : times); ++t) {
    const auto said = judge.compare(ballots, pairs, context);
    for (size_t i = 0; i < pairs.size(); ++i)
      if (said[i]) lead[i] += *said[i] > 0.5 ? 1 : *said[i] < 0.5 ? -1 : 0;
  }
  std::vector<bool> out;
  for (size_t i = 0; i < pairs.size(); ++i)
    out.push_back(lead[i] != 0 ? lead[i] > 0 : pairs[i].first < pairs[i].second);
  return out;
}

void check_pair_judge(const RewardOptions* judge, std::vector<std::string>& problems,
                      const std::string& where) {
  const auto* options = dynamic_cast<const JudgeOptions*>(judge);
  if (options == nullptr) return;
  if (options->mode != "pairwise")
    problems.push_back(where + ".mode: expected \"pairwise\", which compares two answers, found \"" +
                       options->mode + "\"");
  if (options->value != "probability")
    problems.push_back(where + ".value: expected \"probability\", of which 1/2 is a draw");
}

}  // namespace temper
