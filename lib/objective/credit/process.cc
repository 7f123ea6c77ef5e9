#include "objective/credit/process.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "objective/credit/critic.h"
#include "objective/policy/advantages.h"
#include "objective/policy/policy.h"
#include "tensor/packed.h"

namespace temper::objective {

void ProcessOptions::fields(FieldVisitor& v) {
  v.field(
      "reward", reward,
      {.help = "name of the reward whose scores of a response's steps become rewards of its tokens; empty: "
               "rewards are of whole responses"});
  if (!on()) return;
  v.field("refine", refine,
          {.help = "what is done to a response's scores, in this order: clip, min(score - threshold, 0); "
                   "delta, the score less that of the step after it"});
  v.field("threshold", threshold, {.help = "of clip: a step that scores more is not rewarded"});
  v.field("weight", weight, {.help = "factor on the rewards of steps", .min = 0});
  v.field("outcome_weight", outcome_weight,
          {.help = "factor on the reward of the whole response, at its last token", .min = 0});
  v.field(
      "easy_levels", easy_levels,
      {.help = "levels of the records whose outcome counts; of all others the steps alone do; none: all"});
  if (!easy_levels.empty())
    v.field("level_column", level_column, {.help = "column that says a record's level"});
}

void ProcessOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  for (const std::string& how : refine) {
    if (how != "clip" && how != "delta")
      problems.push_back(fmt::format("{}.refine: expected clip or delta, found \"{}\"", where, how));
  }
  if (on() && weight == 0 && outcome_weight == 0)
    problems.push_back(where + ".weight: 0, and outcome_weight too; nothing is left to learn from");
}

const std::vector<std::string>& process_estimators() {
  static const std::vector<std::string> names = {"process_zscore", "return_to_go"};
  return names;
}

namespace {

constexpr double kNull = std::numeric_limits<double>::quiet_NaN();

at::Tensor refined(const ProcessOptions& o, const ProcessScores& s) {
  return refine_process(o.refine, o.threshold, s.score, s.sequence);
}

// [K] -> [M]; several steps may end at one token.
at::Tensor at_tokens(const at::Tensor& value, const at::Tensor& token, int64_t tokens) {
  return at::zeros({tokens}, at::kDouble).index_add(0, token, value);
}

// How much of a response's outcome counts: [S] fp64.
at::Tensor outcome_factor(const ProcessOptions& o, const ProcessScores& s) {
  return s.easy.to(at::kDouble) * o.outcome_weight;
}

}  // namespace

at::Tensor refine_process(const std::vector<std::string>& refine, double threshold, const at::Tensor& score,
                          const at::Tensor& sequence) {
  at::Tensor out = score.to(at::kDouble);
  const int64_t steps = out.size(0);
  for (const std::string& how : refine) {
    if (how == "clip") {
      out = (out - threshold).clamp_max(0);
    } else if (how == "delta") {
      if (steps < 2) continue;
      const at::Tensor followed = sequence.narrow(0, 1, steps - 1).eq(sequence.narrow(0, 0, steps - 1));
      const at::Tensor next = at::where(followed, out.narrow(0, 1, steps - 1), 0.0);
      out = out - at::cat({next, at::zeros({1}, next.options())});
    } else {
      bug("unknown refinement \"{}\" of step rewards", how);
    }
  }
  return out;
}

at::Tensor return_to_go(const at::Tensor& reward, const at::Tensor& sequence) {
  at::Tensor out = reward.detach().to(at::kCPU, at::kDouble).contiguous().clone();
  const at::Tensor rows = sequence.to(at::kCPU).contiguous();
  double* sum = out.mutable_data_ptr<double>();
  const int64_t* row = rows.const_data_ptr<int64_t>();
  for (int64_t t = out.size(0) - 2; t >= 0; --t) {
    if (row[t + 1] == row[t]) sum[t] += sum[t + 1];
  }
  return out;
}

at::Tensor process_token_rewards(const ProcessOptions& o, const PolicyBatch& step, const ProcessScores& s) {
  const at::Tensor factor = outcome_factor(o, s);
  const at::Tensor outcome = at::where(factor.eq(0), 0.0, factor * step.reward.to(at::kDouble));
  const at::Tensor known = s.known.logical_and(outcome.isnan().logical_not());
  const at::Tensor reward =
      reward_on_last_token(at::nan_to_num(outcome, 0.0), step.sequence, step.sequences) +
      at_tokens(o.weight * refined(o, s), s.token, step.sequence.size(0));
  return at::where(gather_sequence(known, step.sequence), reward, kNull);
}

at::Tensor process_advantages(const PolicyAlgorithm& algorithm, const PolicyBatch& step,
                              const ProcessScores& s) {
  const ProcessOptions& o = algorithm.process;
  at::Tensor advantage;
  if (algorithm.advantage == "return_to_go") {
    advantage = return_to_go(at::nan_to_num(process_token_rewards(o, step, s), 0.0), step.sequence);
  } else {
    const double eps = algorithm.advantage_eps;
    const at::Tensor normalised = group_zscores(refined(o, s), step.group.index_select(0, s.sequence), eps);
    const at::Tensor outcome = outcome_factor(o, s) * group_zscores(step.reward, step.group, eps);
    advantage =
        return_to_go(at_tokens(o.weight * normalised, s.token, step.sequence.size(0)), step.sequence) +
        gather_sequence(outcome, step.sequence);
  }
  return advantage.to(step.reward.scalar_type());
}

}  // namespace temper::objective
