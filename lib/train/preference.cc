// Preference optimisation on stored pairs or labelled answers: DPO and its kin. Which loss: the "algorithm"
// section. A pair's prompt is computed once; the reference model's log-probs are computed as the steps need
// them.
#include "train/preference.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "base/error.h"
#include "eval/metrics.h"
#include "objective/preference.h"
#include "train/reference.h"
#include "train/tasks.h"

namespace temper {
namespace {

// Answers in units of what a loss has one value for: pairs (chosen, rejected) or single labelled answers.
struct Answers {
  std::vector<Answer> all;
  std::vector<double> labels;  // unpaired only
  int64_t unit = 2;
  int64_t dropped = 0;
  int64_t units() const { return static_cast<int64_t>(all.size()) / unit; }
};

Answers encode(const Session& s, const std::vector<Record>& records, bool paired) {
  Answers out;
  out.unit = paired ? 2 : 1;
  for (const Record& record : records) {
    std::vector<Answer> unit;
    bool label = false;
    if (paired) {
      auto [chosen, rejected] = s.encoder->preference(record);
      unit = {std::move(chosen), std::move(rejected)};
    } else {
      auto [answer, desirable] = s.encoder->unpaired(record);
      unit = {std::move(answer)};
      label = desirable;
    }
    bool whole = true;
    for (const Answer& answer : unit) whole = whole && !answer.completion.empty();
    if (!whole) {
      ++out.dropped;
      continue;
    }
    for (Answer& answer : unit) out.all.push_back(std::move(answer));
    if (!paired) out.labels.push_back(label ? 1.0 : 0.0);
  }
  return out;
}

// The numbers of some units, in order.
struct Step {
  std::vector<Sequence> sequences;
  std::vector<int64_t> offsets = {0};  // [S + 1] first target of each sequence among the [M]
  objective::PreferenceBatch batch;
  int64_t tokens = 0;  // a shared prompt counts once
};

Step gather(const Answers& answers, const std::vector<int64_t>& units) {
  Step step;
  std::vector<int64_t> sequence;
  std::vector<double> labels;
  int64_t group = 0;
  for (const int64_t u : units) {
    const Answer* before = nullptr;
    for (int64_t k = 0; k < answers.unit; ++k) {
      const Answer& a = answers.all[u * answers.unit + k];
      // Tokenised together with its completion, a prompt may end otherwise; then it is not shared.
      if (before == nullptr || before->prompt != a.prompt) {
        ++group;
        step.tokens += static_cast<int64_t>(a.prompt.size());
      }
      step.tokens += static_cast<int64_t>(a.completion.size());
      before = &a;
      const auto index = static_cast<int64_t>(step.sequences.size());
      step.sequences.push_back({&a.prompt, &a.completion, &a.target, group});
      const auto targets = std::count(a.target.begin(), a.target.end(), true);
      sequence.insert(sequence.end(), static_cast<size_t>(targets), index);
      step.offsets.push_back(static_cast<int64_t>(sequence.size()));
    }
    if (answers.unit == 1) labels.push_back(answers.labels[u]);
  }
  step.batch.sequences = static_cast<int64_t>(step.sequences.size());
  step.batch.sequence = at::tensor(sequence, at::kLong);
  if (answers.unit == 1) step.batch.label = at::tensor(labels).to(at::kBool);
  step.batch.index = at::arange(static_cast<int64_t>(units.size()));
  step.batch.logp = at::zeros({step.batch.sequence.size(0)});  // until the trainer's own pass
  return step;
}

// KTO's estimate of the KL: each prompt with the answer of the next unit. [S] sums of logp - logp_ref.
at::Tensor mismatches(Session& s, const Step& step) {
  std::vector<Sequence> crossed = step.sequences;
  std::vector<int64_t> of;
  for (size_t i = 0; i < crossed.size(); ++i) {
    const Sequence& next = step.sequences[(i + 1) % crossed.size()];
    crossed[i].completion = next.completion;
    crossed[i].target = next.target;
    of.insert(of.end(), static_cast<size_t>(std::count(next.target->begin(), next.target->end(), true)),
              static_cast<int64_t>(i));
  }
  const at::Tensor ratio = logp_of(s, *s.model, crossed) - reference_logp(s, crossed);
  return at::zeros({step.batch.sequences}).index_add_(0, at::tensor(of, at::kLong), ratio);
}

// Fills what the losses need of the whole step, then lets them see it.
void prepare(Session& s, objective::PreferenceObjective& objective, Step& step, int64_t unit) {
  const objective::PreferenceNeeds needs = objective.needs();
  if (needs.logp_ref) step.batch.logp_ref = reference_logp(s, step.sequences, unit);
  if (needs.mismatch) step.batch.mismatch = mismatches(s, step);
  if (needs.step) step.batch.logp = logp_of(s, *s.model, step.sequences, unit);
  objective.prepare(step.batch);
}

// The share of a micro-batch of sequences [first, last).
objective::PreferenceBatch slice(const Step& step, int64_t first, int64_t last, int64_t unit) {
  const int64_t begin = step.offsets[first], tokens = step.offsets[last] - begin;
  const auto per_token = [&](const at::Tensor& t) { return t.defined() ? t.narrow(0, begin, tokens) : t; };
  const auto per_sequence = [&](const at::Tensor& t) {
    return t.defined() ? t.narrow(0, first, last - first) : t;
  };
  objective::PreferenceBatch b;
  b.logp_ref = per_token(step.batch.logp_ref);
  b.sequence = per_token(step.batch.sequence) - first;
  b.label = per_sequence(step.batch.label);
  b.mismatch = per_sequence(step.batch.mismatch);
  b.index = step.batch.index.narrow(0, first / unit, (last - first) / unit);
  b.sequences = last - first;
  return b;
}

using Metrics = std::map<std::string, double>;

// Loss of one micro-batch; its metrics are added to `sums`.
at::Tensor micro_loss(Session& s, const objective::PreferenceObjective& objective, const Step& step,
                      const objective::PreferenceTotals& totals, const MicroBatch& micro, int64_t unit,
                      bool training, Metrics& sums) {
  objective::PreferenceBatch batch = slice(step, micro.sequences.front(), micro.sequences.back() + 1, unit);
  batch.logp = model_logp(*s.model, micro.tokens, micro.targets, {}, s.forward_options(training)).logp;
  const auto result = objective(batch, totals);
  for (const auto& [name, value] : result.metrics) sums[name] += value.item<double>();
  return result.loss;
}

std::vector<MicroBatch> cut(Session& s, const Step& step, int64_t unit) {
  return cut_into_micro_batches(step.sequences, s.config.train.micro_batch_tokens,
                                s.config.train.share_prompts, s.device(), unit);
}

bool is_paired(const Session& s) {
  return !s.config.preference->needs().label;
}

}  // namespace

void train_preference(Session& s) {
  const RunConfig& c = s.config;
  objective::PreferenceObjective objective(*c.preference);
  const Answers answers = encode(s, s.train_records, is_paired(s));
  if (answers.units() == 0) user_error("data.train: no record is within max_tokens {}", c.data.max_tokens);
  if (answers.dropped > 0) {
    s.progress->message(fmt::format("{} of {} records are longer than max_tokens {} and left out",
                                    answers.dropped, s.train_records.size(), c.data.max_tokens));
  }
  const RecordOrder order(answers.units(), static_cast<uint64_t>(c.seed), c.data.order);

  s.evaluate_first();
  while (s.state.step < c.train.steps) {
    s.begin_step();
    std::vector<int64_t> units;
    for (int64_t i = 0; i < c.train.batch_size; ++i) units.push_back(order.at(s.state.cursor + i));
    s.state.cursor += c.train.batch_size;
    Step step = gather(answers, units);
    prepare(s, objective, step, answers.unit);

    const auto totals = objective.totals(step.batch);
    const auto batches = cut(s, step, answers.unit);
    Metrics sums;
    const UpdateOutcome done = s.update(batches, c.train.steps, [&](const MicroBatch& micro) {
      return micro_loss(s, objective, step, totals, micro, answers.unit, true, sums);
    });

    MetricsRow row;
    row.values = {{"loss", done.loss},
                  {"grad_norm", done.grad_norm},
                  {"lr", done.lr},
                  {"skipped", done.skipped ? 1.0 : 0.0}};
    for (const auto& [name, value] : sums) {
      if (name != "loss") row.values.emplace_back(name, value);
    }
    s.end_step(std::move(row), {"loss", "reward_accuracy", "reward_margin", "grad_norm"}, step.tokens);
  }
}

void evaluate_preference(Session& s, const std::string& when, Evaluation& out) {
  at::NoGradGuard guard;
  objective::PreferenceObjective objective(*s.config.preference);
  const Answers answers = encode(s, s.eval_records, is_paired(s));
  if (answers.units() == 0) return;
  std::vector<int64_t> units;
  for (int64_t u = 0; u < answers.units(); ++u) units.push_back(u);
  Step step = gather(answers, units);
  prepare(s, objective, step, answers.unit);
  const auto totals = objective.totals(step.batch);
  Metrics sums;
  for (const MicroBatch& micro : cut(s, step, answers.unit))
    micro_loss(s, objective, step, totals, micro, answers.unit, false, sums);

  for (const auto& [name, value] : sums) out.row.values.emplace_back(name, value);
  const double n = static_cast<double>(answers.units());
  out.score = -sums["loss"];
  out.line = fmt::format("{}: held-out loss {:.4f}", when, sums["loss"]);
  if (answers.unit == 2) {
    const double right = std::round(sums["reward_accuracy"] * n);
    const Interval interval = beta_interval(right, n - right);
    out.row.values.emplace_back("low", interval.low);
    out.row.values.emplace_back("high", interval.high);
    out.line += fmt::format(", chosen above rejected {:.3f} [{:.3f}, {:.3f}]", right / n, interval.low,
                            interval.high);
  }
  out.row.values.emplace_back("n", n);
  out.line += fmt::format(" on {} {}", answers.units(), answers.unit == 2 ? "pairs" : "answers");
}

}  // namespace temper
