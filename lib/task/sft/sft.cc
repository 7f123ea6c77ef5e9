// Supervised fine-tuning. Which loss: the "loss" section; a value a target token (or of a prompt's solutions
// together), summed over the whole step and divided by the step's targets (or prompts). What examples go
// through before: the "inputs" section. Which examples a step takes: data.order, data.weights.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>

#include "data/groups.h"
#include "task/sft/config.h"
#include "task/sft/draws.h"
#include "task/sft/rewards.h"
#include "train/config.h"
#include "train/evaluation.h"
#include "train/examples.h"
#include "train/session.h"

namespace temper {
namespace {

// The examples as the inputs change them, each with its record; rewarded: with what the loss reads at each
// token.
std::vector<Drawn> encode(const Session& s, const SftTask& task, Inputs& inputs, bool rewarded) {
  Examples stored = encode_train_examples(s);
  std::vector<Drawn> out;
  for (size_t i = 0; i < stored.examples.size(); ++i) {
    RewardedExample example{std::move(stored.examples[i])};
    const Record& record = *stored.records[i];
    if (rewarded &&
        !set_rewards(*s.tokenizer, record, task.reward_column, "loss.name " + task.loss_name, example))
      continue;
    inputs.example(record, example);
    out.push_back({std::move(example), &record});
  }
  const size_t unknown = stored.examples.size() - out.size();
  if (out.empty())
    user_error("data.train: the rewards of all segments of \"{}\" are null", task.reward_column);
  if (unknown > 0) {
    s.progress->message(fmt::format("{} of {} examples have no segment with a reward and are left out",
                                    unknown, stored.examples.size()));
  }
  return out;
}

// What a step draws: single examples, or all examples of one prompt and file together.
std::vector<std::vector<int64_t>> units_of(const Session& s, const std::vector<Drawn>& examples,
                                           bool by_prompt) {
  std::vector<std::vector<int64_t>> out;
  std::map<std::pair<std::string, std::vector<int64_t>>, size_t> seen;
  for (size_t i = 0; i < examples.size(); ++i) {
    size_t unit = out.size();
    const Record& record = *examples[i].record;
    if (by_prompt) unit = seen.try_emplace({record.file, s.encoder->prompt(record)}, unit).first->second;
    if (unit == out.size()) out.emplace_back();
    out[unit].push_back(static_cast<int64_t>(i));
  }
  return out;
}

Draws draws_of(const Session& s, const SftTask& task, const std::vector<Drawn>& examples,
               const std::vector<std::vector<int64_t>>& units) {
  const DataSection& data = s.config.data;
  std::vector<int64_t> sources;
  for (const auto& unit : units) {
    const std::string& file = examples[unit.front()].record->file;
    sources.push_back(std::find(data.train.begin(), data.train.end(), file) - data.train.begin());
  }
  return Draws(sources, {static_cast<uint64_t>(s.config.seed), data.order, s.config.train.steps,
                         s.config.train.batch_size, task.weights, task.end_weights});
}

// The rewards that losses read of examples' targets.
struct TargetRewards {
  std::vector<float> of_target;      // [M], sequence by sequence
  std::vector<int64_t> first = {0};  // [S + 1] each sequence's first
  std::vector<double> of_record;     // [S]: the mean of its targets'
  std::vector<double> of_segment;    // [R]: one a record, of a record in segments one a segment
};

TargetRewards rewards_of(const std::vector<Drawn>& examples) {
  TargetRewards out;
  for (const Drawn& d : examples) {
    const RewardedExample& e = d.example;
    const size_t targets = out.of_target.size(), segments = out.of_segment.size();
    double sum = 0;
    for (size_t t = 1; t < e.ids.size(); ++t) {  // nothing predicts the first
      if (!e.target[t]) continue;
      if (out.of_segment.size() == segments || e.reward[t] != out.of_segment.back())
        out.of_segment.push_back(e.reward[t]);
      out.of_target.push_back(static_cast<float>(e.reward[t]));
      sum += e.reward[t];
    }
    const bool one = out.of_segment.size() == segments + 1;
    const auto count = static_cast<double>(std::max<size_t>(out.of_target.size() - targets, 1));
    out.of_record.push_back(one ? out.of_segment.back() : sum / count);
    out.first.push_back(static_cast<int64_t>(out.of_target.size()));
  }
  return out;
}

at::Tensor floats(const std::vector<double>& values) {
  return at::tensor(values).to(at::kFloat);
}

// What the loss reads of a micro-batch of a step's examples: `rewards` and `group` [S] are the step's.
objective::SupervisedBatch forward(Session& s, const objective::SupervisedNeeds& needs,
                                   const MicroBatch& micro, const ForwardOptions& options,
                                   const TargetRewards& rewards, const at::Tensor& group) {
  LogpOptions wanted;
  wanted.mean_logp = needs.mean_logp;
  wanted.cosine = needs.cosine;
  const at::Tensor hidden = s.model->hidden(micro.tokens, options);
  const LogpResult logp =
      selective_logp(hidden, s.model->head().compute, s.model->head().master, micro.targets, wanted);
  objective::SupervisedBatch batch;
  batch.logp = logp.logp;
  batch.mean_logp = logp.mean_logp;
  batch.cosine = logp.cosine;
  if (needs.value) batch.value = model_scores(*s.model, hidden, micro.targets.source).select(1, 0);
  batch.sequence = micro.targets.sequence;
  batch.sequences = micro.targets.sequences;
  const int64_t first = micro.sequences.front();
  if (needs.reward) {
    const int64_t from = rewards.first[first], to = rewards.first[first + batch.sequences];
    const std::vector<float> of_target(rewards.of_target.begin() + from, rewards.of_target.begin() + to);
    batch.token_reward = at::tensor(of_target).to(s.device());
    batch.reward = floats(rewards.of_record).narrow(0, first, batch.sequences).to(s.device());
  }
  if (needs.group) {  // whole groups, counted from the micro-batch's first
    batch.group = group.narrow(0, first, batch.sequences);
    batch.group = batch.group - batch.group[0];
    batch.groups = batch.group[-1].item<int64_t>() + 1;
  }
  return batch;
}

// Mean negative log-prob of the held-out targets.
void evaluate_loss(Session& s, const SftTask& task, const std::string& when, Evaluation& out) {
  at::NoGradGuard guard;
  const bool groups = std::any_of(s.eval_records.begin(), s.eval_records.end(), is_group);
  std::vector<Record> chosen;
  if (groups) chosen = task.chosen(s.config, s.eval_records);
  const std::vector<Record>& records = groups ? chosen : s.eval_records;
  const Examples held_out = encode_examples(s, records);
  const size_t all = records.size();
  leave_out(s, out, "left_out", static_cast<int64_t>(all - held_out.examples.size()),
            static_cast<int64_t>(all), "examples");
  std::vector<Sequence> sequences;
  for (const Example& e : held_out.examples)
    sequences.push_back(whole_sequence(e, static_cast<int64_t>(sequences.size())));
  auto sums = s.sums_over(
      cut_into_micro_batches(sequences, s.config.train.micro_batch_tokens, false, s.device()),
      [&](const MicroBatch& b) -> std::map<std::string, double> {
        const double logp = model_logp(*s.model, b.tokens, b.targets).logp.sum(at::kDouble).item<double>();
        return {{"logp", logp}, {"targets", static_cast<double>(b.targets.token.size(0))}};
      });
  if (sums["targets"] == 0) {
    out.line = nothing_left(when, "loss");
    return;
  }
  const double loss = -sums["logp"] / sums["targets"];
  out.row.values.emplace_back("loss", loss);
  out.score = -loss;
  out.line = fmt::format("{}: held-out loss {:.4f}", when, loss);
}

}  // namespace

void SftTask::train(Session& s) const {
  const RunConfig& c = s.config;
  const auto loss_fn = loss->make();
  const objective::SupervisedNeeds needs = loss_fn->needs();
  std::string figures;
  s.train_records = chosen(c, std::move(s.train_records), &figures);
  if (!figures.empty()) s.progress->message("data.select " + figures);
  Inputs transforms(inputs, s);
  transforms.records();
  // All examples are encoded before the first step, so that a bad line costs no training time.
  const std::vector<Drawn> examples = encode(s, *this, transforms, needs.reward);
  if (needs.reward) {
    const std::string warning = loss_fn->warning(floats(rewards_of(examples).of_segment));
    if (!warning.empty()) s.progress->message(warning, LogLevel::kWarning);
  }
  const auto units = units_of(s, examples, needs.group);
  Draws draws = draws_of(s, *this, examples, units);

  s.evaluate_first([&](const std::string& when, Evaluation& out) { evaluate_loss(s, *this, when, out); });
  while (s.state.step < c.train.steps) {
    s.begin_step();

    // The step's examples, as the inputs change them.
    std::vector<Drawn> drawn;
    std::vector<int64_t> groups;
    const std::vector<int64_t> taken = draws.step(s.state.step);
    for (size_t g = 0; g < taken.size(); ++g) {
      for (const int64_t i : units[taken[g]]) {
        drawn.push_back(examples[i]);
        groups.push_back(static_cast<int64_t>(g));
      }
    }
    s.state.cursor += c.train.batch_size;
    transforms.step(drawn);

    // Packed end to end.
    std::vector<Sequence> sequences;
    int64_t tokens = 0, targets = 0;
    for (size_t i = 0; i < drawn.size(); ++i) {
      sequences.push_back(whole_sequence(drawn[i].example, groups[i]));
      sequences.back().joined = needs.group && i > 0 && groups[i] == groups[i - 1];
      tokens += static_cast<int64_t>(drawn[i].example.ids.size());
    }
    const auto batches = cut_into_micro_batches(sequences, c.train.micro_batch_tokens, false, s.device());
    for (const MicroBatch& batch : batches) targets += batch.targets.token.size(0);
    const bool by_token = loss_fn->unit() == objective::SupervisedUnit::kToken;
    const double count = static_cast<double>(by_token ? targets : c.train.batch_size);

    TargetRewards rewards;
    if (needs.reward) rewards = rewards_of(drawn);
    const at::Tensor group = at::tensor(groups, at::kLong).to(s.device());
    loss_fn->prepare(needs.reward ? floats(rewards.of_segment) : at::Tensor());
    const UpdateOutcome done = s.update(batches, [&](const MicroBatch& micro) {
      ForwardOptions options = s.forward_options(true);
      options.embedding_noise = transforms.embedding_noise(drawn, micro);
      return LossShare{(*loss_fn)(forward(s, needs, micro, options, rewards, group)).sum() / count};
    });

    MetricsRow row;
    row.values = {{"loss", done.loss},
                  {"grad_norm", done.grad_norm},
                  {"lr", done.lr},
                  {"targets", static_cast<double>(targets)},
                  {"skipped", done.skipped ? 1.0 : 0.0}};
    s.end_step(std::move(row), {"loss", "grad_norm", "lr"}, tokens);
  }
}

}  // namespace temper
