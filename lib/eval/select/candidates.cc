#include "eval/select/candidates.h"

#include <algorithm>

#include "base/error.h"

namespace temper {
namespace {

template <class F>
void demand_one(const std::vector<Ballot>& ballots, F has, const std::string& complaint) {
  for (const Ballot& ballot : ballots)
    if (std::any_of(ballot.candidates.begin(), ballot.candidates.end(), has)) return;
  if (!ballots.empty()) user_error("{}", complaint);
}

}  // namespace

std::vector<AnswerCluster> answer_clusters(const Ballot& ballot) {
  std::vector<AnswerCluster> out;
  for (size_t i = 0; i < ballot.candidates.size(); ++i) {
    const auto& answer = ballot.candidates[i].answer;
    if (!answer) continue;
    const auto same =
        std::find_if(out.begin(), out.end(), [&](const AnswerCluster& c) { return c.answer == *answer; });
    if (same == out.end())
      out.push_back({*answer, {i}});
    else
      same->members.push_back(i);
  }
  return out;
}

std::optional<double> score_of(const Candidate& candidate, const std::string& by,
                               const std::string& selector) {
  const auto found = candidate.scores.find(by);
  if (found != candidate.scores.end()) return found->second;
  std::string known;
  for (const auto& [name, score] : candidate.scores) known += (known.empty() ? "" : ", ") + name;
  user_error("selector {}: by: no reward is called \"{}\"; there are: {}", selector, by, known);
}

void demand_answers(const std::vector<Ballot>& ballots, const std::string& selector) {
  demand_one(
      ballots, [](const Candidate& c) { return c.answer.has_value(); },
      fmt::format(
          "selector {}: no answer can be read in any completion; it needs a reward that knows answers, "
          "such as math, or take mbr, which compares texts",
          selector));
}

void demand_scores(const std::vector<Ballot>& ballots, const std::string& by, const std::string& selector) {
  demand_one(
      ballots, [&](const Candidate& c) { return score_of(c, by, selector).has_value(); },
      fmt::format("selector {}: by {}: it is null for every completion", selector, by));
}

std::optional<size_t> largest(const std::vector<std::optional<double>>& values) {
  std::optional<size_t> best;
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i] && (!best || *values[i] > *values[*best])) best = i;
  return best;
}

}  // namespace temper
