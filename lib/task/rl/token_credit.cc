#include "task/rl/token_credit.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "data/segments.h"
#include "text/tokenizer.h"
#include "train/session.h"

namespace temper {
namespace {

// f(its group, rollout, place among all, first of its tokens among all)
template <typename F>
void for_each_rollout(const std::vector<RolloutGroup>& groups, const F& f) {
  int64_t sequence = 0, token = 0;
  for (const RolloutGroup& g : groups) {
    for (const Rollout& r : g.rollouts) {
      f(g, r, sequence++, token);
      token += r.tokens();
    }
  }
}

at::Tensor integers(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}

// Whether the record's level is one of those whose outcome counts; numbers as JSON writes them.
bool is_easy(const objective::ProcessOptions& o, const Record& record) {
  if (o.easy_levels.empty()) return true;
  if (!has_column(record.json, o.level_column)) {
    user_error("{}: no column \"{}\" says its level, and algorithm.process.easy_levels asks for it",
               record.where(), o.level_column);
  }
  const Json& level = record.json[o.level_column];
  const std::string text = level.is_string() ? level.get<std::string>() : level.dump();
  return std::find(o.easy_levels.begin(), o.easy_levels.end(), text) != o.easy_levels.end();
}

}  // namespace

CreditSources find_credit_sources(const Session& s, const objective::PolicyAlgorithm& algorithm) {
  CreditSources out;
  const objective::Needs needs = algorithm.needs();
  if (needs.process) out.steps = s.rewards->step_scorer(algorithm.process.reward, "algorithm.process.reward");
  if (needs.outcome_score) {
    const auto& all = s.rewards->outcomes();
    const auto found = std::find_if(all.begin(), all.end(), [](const auto& outcomes) {
      return static_cast<int64_t>(outcomes.size()) == objective::kOutcomeCount;
    });
    if (found == all.end()) {
      user_error(
          "rewards: algorithm \"{}\" learns which of {} outcomes a completion has; expected a reward that "
          "tells "
          "them, such as {{\"kind\": \"code\", \"score\": \"coderl\"}}",
          algorithm.name, objective::kOutcomeCount);
    }
    out.outcomes = static_cast<size_t>(found - all.begin());
  }
  return out;
}

objective::ProcessScores process_scores(const Session& s, const objective::ProcessOptions& o, size_t reward,
                                        const std::vector<RolloutGroup>& groups) {
  std::vector<double> score;
  std::vector<int64_t> owner, token, known, easy;
  for_each_rollout(groups, [&](const RolloutGroup& g, const Rollout& r, int64_t sequence, int64_t first) {
    const std::vector<StepScore> steps = r.parts.empty() ? std::vector<StepScore>() : r.parts[reward].steps;
    known.push_back(steps.empty() ? 0 : 1);
    easy.push_back(is_easy(o, s.train_records.kept(g.record)) ? 1 : 0);
    if (steps.empty() || r.tokens() == 0) return;
    // What was scored: all of it, or the last turn.
    std::vector<int64_t> ids = r.ids;
    if (!r.turns.empty()) {
      const Turn& last = r.turns.back();
      ids.assign(r.ids.begin() + last.begin, r.ids.begin() + last.end);
    }
    const int64_t begin = first + r.tokens() - static_cast<int64_t>(ids.size());
    std::vector<int64_t> ends;
    for (const StepScore& step : steps) ends.push_back(step.end);
    std::vector<int64_t> places = tokens_at(*s.tokenizer, ids, ends);
    places.back() = static_cast<int64_t>(ids.size()) - 1;
    for (size_t k = 0; k < steps.size(); ++k) {
      owner.push_back(sequence);
      token.push_back(begin + places[k]);
      score.push_back(steps[k].score);
    }
  });
  return {at::tensor(score, at::kDouble), integers(owner), integers(token), integers(known).to(at::kBool),
          integers(easy).to(at::kBool)};
}

at::Tensor outcomes_of(const Session& s, size_t reward, const std::vector<RolloutGroup>& groups) {
  const std::vector<std::string>& known = s.rewards->outcomes()[reward];
  std::vector<int64_t> out;
  for_each_rollout(groups, [&](const RolloutGroup&, const Rollout& r, int64_t, int64_t) {
    const auto at =
        r.parts.empty() ? known.end() : std::find(known.begin(), known.end(), r.parts[reward].outcome);
    out.push_back(at == known.end() ? -1 : at - known.begin());
  });
  return integers(out);
}

objective::Turns turns_of(const std::vector<RolloutGroup>& groups) {
  objective::Turns out;
  std::vector<double> reward;
  std::vector<int64_t> owner, of_token;
  for_each_rollout(groups, [&](const RolloutGroup&, const Rollout& r, int64_t sequence, int64_t) {
    std::vector<int64_t> lengths;
    for (const Turn& turn : r.turns) lengths.push_back(turn.end - turn.begin);
    if (lengths.empty()) lengths.push_back(r.tokens());
    const Conversation told = r.conversation.value_or(Conversation());
    const bool rewarded = told.score().has_value();
    for (size_t t = 0; t < lengths.size(); ++t) {
      of_token.insert(of_token.end(), static_cast<size_t>(lengths[t]), static_cast<int64_t>(owner.size()));
      owner.push_back(sequence);
      out.state.push_back(t < told.states.size() ? told.states[t] : "");
      double given = t < told.rewards.size() ? told.rewards[t].value_or(0.0) : 0.0;
      if (!rewarded && t + 1 == lengths.size()) given = r.reward.value_or(kNull);
      reward.push_back(given);
    }
  });
  out.reward = at::tensor(reward, at::kDouble);
  out.sequence = integers(owner);
  out.turn = integers(of_token);
  return out;
}

NamedValues process_metrics(const objective::ProcessOptions& o, const objective::ProcessScores& scores) {
  NamedValues out;
  const int64_t steps = scores.score.size(0);
  if (steps > 0) {
    const at::Tensor refined =
        objective::refine_process(o.refine, o.threshold, scores.score, scores.sequence);
    out.emplace_back("step_score", scores.score.mean().item<double>());
    out.emplace_back("step_reward", refined.mean().item<double>());
  }
  const at::Tensor known = scores.known.to(at::kDouble);
  out.emplace_back("steps", static_cast<double>(steps) / std::max(known.sum().item<double>(), 1.0));
  out.emplace_back("steps_unknown", 1 - known.mean().item<double>());
  return out;
}

}  // namespace temper
