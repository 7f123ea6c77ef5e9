// What selectors read of a ballot.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eval/select/select.h"

namespace temper {

// The candidates that gave one answer, in the order of the first of each.
struct AnswerCluster {
  std::string answer;
  std::vector<size_t> members;
};
std::vector<AnswerCluster> answer_clusters(const Ballot& ballot);

// What the reward `by` said of a candidate ("total": all combined). Throws UserError when there is no reward
// of that name.
std::optional<double> score_of(const Candidate& candidate, const std::string& by,
                               const std::string& selector);

// Throws UserError, naming the selector, when not one candidate has an answer, or a score by `by`.
void demand_answers(const std::vector<Ballot>& ballots, const std::string& selector);
void demand_scores(const std::vector<Ballot>& ballots, const std::string& by, const std::string& selector);

// The place of the largest value, the first of equal ones; nullopt where all are null.
std::optional<size_t> largest(const std::vector<std::optional<double>>& values);

}  // namespace temper
