// Preference optimisation on pairs or labelled answers: DPO and its kin. Which loss: the "algorithm" section.
// Which pairs: the "pairs" section. A pair's prompt is computed once; the reference model's log-probs are
// computed as the steps need them, or once before training (section "reference").
#include "objective/preference/preference.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "base/error.h"
#include "base/statistics.h"
#include "task/preference/config.h"
#include "task/preference/fast_slow.h"
#include "task/preference/pair_source.h"
#include "task/preference/reference_cache.h"
#include "train/config.h"
#include "train/evaluation.h"
#include "train/reference.h"
#include "train/session.h"

namespace temper {
namespace {

// KTO's estimate of the KL: each prompt with the answer of the unit before, the last one's before the first,
// as TRL pairs them. [S] sums of logp - logp_ref.
at::Tensor mismatches(Session& s, const PreferenceStep& step) {
  std::vector<Sequence> crossed = step.sequences;
  std::vector<int64_t> of;
  for (size_t i = 0; i < crossed.size(); ++i) {
    const Sequence& other = step.sequences[(i + crossed.size() - 1) % crossed.size()];
    crossed[i].completion = other.completion;
    crossed[i].target = other.target;
    of.insert(of.end(), static_cast<size_t>(std::count(other.target->begin(), other.target->end(), true)),
              static_cast<int64_t>(i));
  }
  const at::Tensor ratio = logp_of(s, *s.model, crossed) - reference_logp(s, crossed);
  return at::zeros({step.batch.sequences}).index_add_(0, at::tensor(of, at::kLong), ratio);
}

// The reference's log-probs of a step, from the cache where there is one.
at::Tensor reference_of(Session& s, const PreferenceStep& step, const std::vector<int64_t>& units,
                        const ReferenceCache* cache) {
  return cache != nullptr ? cache->of(units) : reference_logp(s, step.sequences);
}

// Fills what the losses need of the whole step, then lets them see it.
void prepare(Session& s, objective::PreferenceObjective& objective, PreferenceStep& step,
             const std::vector<int64_t>& units, const ReferenceCache* cache) {
  const objective::PreferenceNeeds needs = objective.needs();
  if (needs.logp_ref) step.batch.logp_ref = reference_of(s, step, units, cache);
  if (needs.mismatch) step.batch.mismatch = mismatches(s, step);
  if (needs.step) step.batch.logp = logp_of(s, *s.model, step.sequences);
  objective.prepare(step.batch);
}

// Share of one micro-batch.
LossShare micro_loss(Session& s, const objective::PreferenceObjective& objective, const PreferenceStep& step,
                     const objective::PreferenceTotals& totals, const MicroBatch& micro, bool training,
                     FastSlow* two) {
  objective::PreferenceBatch batch = slice(step, micro.sequences.front(), micro.sequences.back() + 1);
  LogpOptions options;
  options.log_sum_squares = objective.needs().log_sum_squares;
  const auto logp = [&] {
    const at::Tensor hidden = s.model->hidden(micro.tokens, s.forward_options(training));
    return on_host(s.logp(hidden, micro.targets, options));
  };
  if (two != nullptr) {
    two->select_slow();
    batch.logp_other = logp().logp;
    two->select_fast();
  }
  const LogpResult now = logp();
  batch.logp = now.logp;
  batch.log_sum_squares = now.log_sum_squares;
  const auto result = objective(batch, totals);
  LossShare share{result.loss};
  for (const auto& [name, value] : result.metrics) share.metrics[name] = value.item<double>();
  return share;
}

std::vector<MicroBatch> cut(Session& s, const PreferenceStep& step) {
  return s.pack(step.sequences, s.config.train.share_prompts);
}

// The two adapters of losses that have a second policy; else null.
std::unique_ptr<FastSlow> fast_and_slow(Session& s, const objective::PreferenceObjective& objective) {
  if (!objective.needs().other) return nullptr;
  return std::make_unique<FastSlow>(s, objective.needs().swap_every);
}

// The held-out figures: loss, implicit rewards and the share of pairs whose chosen answer has the higher one.
void evaluate_pairs(Session& s, const PreferenceTask& task, PairSource& source, const std::string& when,
                    Evaluation& out) {
  at::NoGradGuard guard;
  objective::PreferenceObjective objective(*task.algorithm);
  if (task.samples()) return;
  int64_t records = 0, without = 0;
  const Answers answers = source.held_out(&records, &without);
  leave_out(s, out, "left_out", answers.dropped, records, "records");
  if (without + answers.identical > 0) {
    out.row.values.emplace_back("without_pair", static_cast<double>(without + answers.identical));
    s.tell_once(fmt::format("{} held-out records give no pair or have equal responses and are left out",
                            without + answers.identical));
  }
  if (answers.units() == 0) {
    out.line = nothing_left(when, "loss");
    return;
  }
  std::vector<int64_t> units;
  for (int64_t u = 0; u < answers.units(); ++u) units.push_back(u);
  PreferenceStep step = gather(answers, units);
  prepare(s, objective, step, units, source.held_out_cache(answers, units));
  const auto totals = objective.totals(step.batch);
  const auto two = fast_and_slow(s, objective);
  auto sums = s.sums_over(cut(s, step), [&](const MicroBatch& micro) {
    return micro_loss(s, objective, step, totals, micro, false, two.get()).metrics;
  });

  for (const auto& [name, value] : sums) out.row.values.emplace_back(name, value);
  const double n = static_cast<double>(answers.units());
  out.score = -sums["loss"];
  out.line = fmt::format("{}: held-out loss {:.4f}", when, sums["loss"]);
  if (sums.count("reward_accuracy") > 0) {
    const double right = std::round(sums["reward_accuracy"] * n);
    const Interval interval = beta_interval(right, n - right);
    out.row.values.emplace_back("low", interval.low);
    out.row.values.emplace_back("high", interval.high);
    out.line += fmt::format(", chosen above rejected {:.3f} [{:.3f}, {:.3f}]", right / n, interval.low,
                            interval.high);
  }
  for (const char* accuracy : {"rank_accuracy", "row_accuracy"}) {
    if (sums.count(accuracy) > 0) out.line += fmt::format(", {} {:.3f}", accuracy, sums[accuracy]);
  }
  out.row.values.emplace_back("n", n);
  const char* const what = answers.unit == 1 ? "answers" : (answers.unit == 2 ? "pairs" : "lists");
  out.line += fmt::format(" on {} {}", answers.units(), what);
}

}  // namespace

void PreferenceTask::train(Session& s) const {
  const RunConfig& c = s.config;
  objective::PreferenceObjective objective(*algorithm);
  const auto two = fast_and_slow(s, objective);
  PairSource source(s, *this);
  if (moves_reference() && s.reference_weights.empty()) move_reference(s, 1.0);

  s.evaluate_first(
      [&](const std::string& when, Evaluation& out) { evaluate_pairs(s, *this, source, when, out); });
  while (!s.done()) {
    s.begin_step();
    const int64_t t = s.state.step;
    const PairDraw drawn = source.draw();
    // From here on nothing interrupts the step, so a reference does not move twice.
    if (moves_reference()) {
      if (source.begins_stage(t)) move_reference(s, 1.0);
      if (reference.sync_every > 0 && t > 0 && t % reference.sync_every == 0)
        move_reference(s, reference.sync_share);
    }
    PreferenceStep step = gather(*drawn.answers, drawn.units);
    prepare(s, objective, step, drawn.units, drawn.cache);

    const auto totals = objective.totals(step.batch);
    const auto batches = cut(s, step);
    const UpdateOutcome done = s.update(batches, [&](const MicroBatch& micro) {
      return micro_loss(s, objective, step, totals, micro, true, two.get());
    });

    MetricsRow row;
    row.values = drawn.metrics;
    row.values.insert(row.values.end(), {{"loss", done.loss},
                                         {"grad_norm", done.grad_norm},
                                         {"lr", done.lr},
                                         {"skipped", done.skipped ? 1.0 : 0.0}});
    for (const auto& [name, value] : done.metrics) {
      if (name != "loss") row.values.emplace_back(name, value);
    }
    if (drawn.sampling_s > 0)
      row.time = {{"rollout_s", drawn.sampling_s},
                  {"scoring_s", drawn.scoring_s},
                  {"train_s", s.seconds_in_step() - drawn.sampling_s}};
    if (two != nullptr) {
      row.values.emplace_back("fast", static_cast<double>(two->fast()));
      two->take_turns(done.metrics);
    }
    s.end_step(std::move(row), {"reward", "loss", "reward_accuracy", "reward_margin", "grad_norm"},
               step.tokens);
  }
}

}  // namespace temper
