// Reward models: scores of answers learnt from comparisons, groups of right and wrong answers, ratings or
// steps. Which loss, or sum of losses: the "algorithm" section. A prompt is computed once for all its
// answers, and a micro-batch is one forward pass, whatever forms of records it holds.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "task/reward_model/config.h"
#include "task/reward_model/data.h"
#include "task/reward_model/figures.h"
#include "train/config.h"
#include "train/evaluation.h"
#include "train/run_order.h"
#include "train/session.h"
#include "train/shared.h"

namespace temper {
namespace {

using objective::RewardObjective;
using objective::RewardTerms;

// What a loss's means are taken over in the whole step, which the data alone says: the scores do not matter.
std::vector<double> counts_of(const RewardObjective& objective, const ScoredStep& step, int64_t scores) {
  int64_t rows = 0;
  for (const auto* reads : step.reads) rows += static_cast<int64_t>(reads->size());
  std::vector<double> out;
  for (const auto& part : objective.parts()) {
    const auto batch = reward_batch(step.units, part.needs.rows, at::zeros({rows, scores}));
    out.push_back(batch.score.size(0) == 0 ? 0 : (*part.loss)(batch).count);
  }
  return out;
}

// The share of the step's loss that some units of it hold.
LossShare share_of_loss(const RewardObjective& objective, const std::vector<const ScoredUnit*>& units,
                        const at::Tensor& scores, const std::vector<double>& counts) {
  LossShare share{at::zeros({}, scores.options().requires_grad(false))};
  for (size_t p = 0; p < counts.size(); ++p) {
    const auto& part = objective.parts()[p];
    const auto batch = reward_batch(units, part.needs.rows, scores);
    if (counts[p] == 0 || batch.score.size(0) == 0) continue;
    const RewardTerms terms = (*part.loss)(batch);
    share.loss = share.loss + part.weight / counts[p] * terms.sum;
    const std::string prefix = counts.size() > 1 ? part.name + "/" : "";
    for (const auto& [name, value] : terms.metrics)
      share.metrics[prefix + name] += value.item<double>() / counts[p];
    if (counts.size() > 1) share.metrics[prefix + "loss"] += terms.sum.item<double>() / counts[p];
  }
  return share;
}

// Scores of all rows of a micro-batch, [R, A].
at::Tensor scores_of(Session& s, const ScoreReader& reader, const ScoredStep& step, const MicroBatch& micro,
                     bool training) {
  const at::Tensor hidden = s.model->hidden(micro.tokens, s.forward_options(training));
  return reader(*s.model, hidden, score_rows(step, micro));
}

std::vector<MicroBatch> cut(Session& s, const ScoredStep& step) {
  return s.pack(step.sequences, s.config.train.share_prompts);
}

std::vector<const ScoredUnit*> units_of(const ScoredStep& step, const MicroBatch& micro) {
  const auto first = step.units.begin() + step.unit_of[static_cast<size_t>(micro.sequences.front())];
  const auto last = step.units.begin() + step.unit_of[static_cast<size_t>(micro.sequences.back())];
  return {first, last + 1};
}

ScoredUnits units_from(Session& s, const std::vector<Record>& records, const RewardObjective& objective,
                       const ScoreReader& reader, const RewardModelTask& task) {
  const auto span = s.phases->in(Phase::kData);
  int64_t without = 0;
  const auto formed = in_forms(records, objective, task, static_cast<uint64_t>(s.config.seed), &without);
  ScoredUnits out = read_units(*s.encoder, formed, objective, reader, *s.model, task.score.separator);
  out.records += without;
  out.useless += without;
  return out;
}

// What people are told of the records that are not used.
std::vector<std::string> left_out_of(const ScoredUnits& data, int64_t max_tokens, const std::string& which) {
  const int64_t records = data.records;
  std::vector<std::string> out;
  if (data.overlong > 0)
    out.push_back(fmt::format("{} of {} {}records are longer than max_tokens {} and left out", data.overlong,
                              records, which, max_tokens));
  if (data.useless > 0)
    out.push_back(fmt::format("{} of {} {}records have nothing to compare and are left out", data.useless,
                              records, which));
  if (data.overlong_answers > 0)
    out.push_back(fmt::format("{} {}answers of groups are longer than max_tokens {} and left out",
                              data.overlong_answers, which, max_tokens));
  return out;
}

int64_t heads_of(const Session& s, const ScoreOptions& score) {
  return score.verbaliser() ? 1 : s.model->config().scores;
}

// The held-out figures: loss, accuracy with its interval, by margin and by strength, and calibration.
void evaluate_scores(Session& s, const RewardObjective& objective, const ScoreReader& reader,
                     const RewardModelTask& task, const std::string& when, Evaluation& out) {
  at::NoGradGuard guard;
  const ScoreOptions& score = task.score;
  const ScoredUnits data = units_from(s, s.eval_records.all("task reward_model"), objective, reader, task);
  for (const std::string& line : left_out_of(data, s.config.data.max_tokens, "held-out ")) s.tell_once(line);
  if (data.overlong + data.useless > 0)
    out.row.values.emplace_back("left_out", static_cast<double>(data.overlong + data.useless));
  if (data.all.empty()) {
    out.line = nothing_left(when, "loss");
    return;
  }
  std::vector<const ScoredUnit*> units;
  for (const ScoredUnit& unit : data.all) units.push_back(&unit);
  const ScoredStep step = make_step(units);
  const std::vector<MicroBatch> micros = cut(s, step);
  const int64_t heads = heads_of(s, score);
  std::vector<at::Tensor> parts(micros.size());
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < micros.size(); ++i) {
    sizes.push_back(score_rows(step, micros[i]).numel() * heads);
    if (s.ranks.mine(i)) parts[i] = scores_of(s, reader, step, micros[i], false).flatten();
  }
  share_numbers(s.ranks, sizes, parts);
  const at::Tensor scores = at::cat(parts).cpu().view({-1, heads});

  const LossShare all =
      share_of_loss(objective, units, scores, counts_of(objective, step, heads_of(s, score)));
  out.score = -all.loss.item<double>();
  out.row.values.emplace_back("loss", -*out.score);
  out.line = fmt::format("{}: held-out loss {:.4f}", when, -*out.score);
  for (const auto& [name, value] : all.metrics) {
    if (name != "accuracy") out.row.values.emplace_back(name, value);  // below, with its interval
  }
  add_figures(objective, units, scores, out);
  add_samples(s, step, scores, out);
}

}  // namespace

void RewardModelTask::train(Session& s) const {
  const RunConfig& c = s.config;
  const RewardObjective objective(*algorithm);
  const ScoreReader reader(score, *s.tokenizer, "score");
  const ScoredUnits data = units_from(s, s.train_records.all("task reward_model"), objective, reader, *this);
  check_units(data, objective, c.data.max_tokens);
  for (const std::string& line : left_out_of(data, c.data.max_tokens, "")) s.progress->message(line);
  const auto order = make_order(s, static_cast<int64_t>(data.all.size()), nullptr, c.train.batch_size);

  s.evaluate_first([&](const std::string& when, Evaluation& out) {
    evaluate_scores(s, objective, reader, *this, when, out);
  });
  while (!s.done()) {
    s.begin_step();
    std::vector<const ScoredUnit*> units;
    for (int64_t i = 0; i < c.train.batch_size; ++i)
      units.push_back(&data.all[static_cast<size_t>(order->at(s.state.step, s.state.cursor + i))]);
    s.state.cursor += c.train.batch_size;
    const ScoredStep step = make_step(units);
    const std::vector<double> counts = counts_of(objective, step, heads_of(s, score));

    const UpdateOutcome done = s.update(cut(s, step), [&](const MicroBatch& micro) {
      const at::Tensor scores = scores_of(s, reader, step, micro, true);
      return share_of_loss(objective, units_of(step, micro), scores, counts);
    });

    MetricsRow row;
    row.values = {{"loss", done.loss},
                  {"grad_norm", done.grad_norm},
                  {"lr", done.lr},
                  {"skipped", done.skipped ? 1.0 : 0.0}};
    for (const auto& [name, value] : done.metrics) row.values.emplace_back(name, value);
    s.end_step(std::move(row), {"loss", "accuracy", "margin", "error", "grad_norm"}, step.tokens);
  }
}

}  // namespace temper
