// Supervised fine-tuning. Which loss: the "loss" section; a value a target token (or of a prompt's solutions
// together), summed over the whole step and divided by the step's targets (or prompts). What examples go
// through before: the "inputs" section. Which examples a step takes: data.order, data.weights, and of those
// the "filter" section.
#include <ATen/ATen.h>

#include <map>

#include "task/sft/config.h"
#include "task/sft/draws.h"
#include "task/sft/example_losses.h"
#include "task/sft/multistage.h"
#include "train/config.h"
#include "train/evaluation.h"
#include "train/examples.h"
#include "train/held_out_loss.h"
#include "train/session.h"

namespace temper {
namespace {

// The examples as the inputs change them, each with its record.
std::vector<Drawn> encode(const Session& s, Inputs& inputs) {
  Examples stored = encode_train_examples(s);
  std::vector<Drawn> out;
  for (size_t i = 0; i < stored.examples.size(); ++i) {
    inputs.example(*stored.records[i], stored.examples[i]);
    out.push_back({std::move(stored.examples[i]), stored.records[i]});
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

// [S] rewards of examples.
at::Tensor rewards_of(const SftTask& task, const std::vector<Drawn>& examples) {
  std::vector<double> out;
  for (const Drawn& d : examples)
    out.push_back(number_column(*d.record, task.reward_column, "loss.name " + task.loss_name));
  return at::tensor(out).to(at::kFloat);
}

// What the loss reads of a micro-batch of a step's examples: `reward` [S] and `group` [S] are the step's.
objective::SupervisedBatch forward(Session& s, const objective::SupervisedNeeds& needs,
                                   const MicroBatch& micro, const ForwardOptions& options,
                                   const at::Tensor& reward, const at::Tensor& group) {
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
  if (needs.reward) batch.reward = reward.narrow(0, first, batch.sequences);
  if (needs.group) {  // whole groups, counted from the micro-batch's first
    batch.group = group.narrow(0, first, batch.sequences);
    batch.group = batch.group - batch.group[0];
    batch.groups = batch.group[-1].item<int64_t>() + 1;
  }
  return batch;
}

// The run's filter as its state has it; null: none.
std::unique_ptr<MultistageFilter> filter_of(const Session& s, const SftTask& task,
                                            const std::vector<Drawn>& examples) {
  if (task.filter == nullptr) return nullptr;
  auto out = std::make_unique<MultistageFilter>(*task.filter, examples, s.config.train.steps,
                                                s.config.train.batch_size, s.model->config().vocab);
  if (s.state.loop.contains("filter")) out->load(s.state.loop["filter"], s.config.run);
  return out;
}

// Their losses as they are stored, without what the inputs make of them.
std::vector<double> losses_of(Session& s, const std::vector<Drawn>& examples,
                              const std::vector<int64_t>& which) {
  std::vector<const Example*> out;
  for (const int64_t i : which) out.push_back(&examples[i].example);
  return example_losses(s, out);
}

// Mean negative log-prob of the held-out targets.
void evaluate_loss(Session& s, const std::string& when, Evaluation& out) {
  const Examples held_out = encode_examples(s, s.eval_records);
  const size_t all = s.eval_records.size();
  leave_out(s, out, "left_out", static_cast<int64_t>(all - held_out.examples.size()),
            static_cast<int64_t>(all), "examples");
  const std::optional<double> loss = held_out_loss(s, held_out.examples);
  if (!loss) {
    out.line = nothing_left(when, "loss");
    return;
  }
  out.row.values.emplace_back("loss", *loss);
  out.score = -*loss;
  out.line = fmt::format("{}: held-out loss {:.4f}", when, *loss);
}

}  // namespace

void SftTask::train(Session& s) const {
  const RunConfig& c = s.config;
  const auto loss_fn = loss->make();
  const objective::SupervisedNeeds needs = loss_fn->needs();
  Inputs transforms(inputs, s);
  transforms.records();
  // All examples are encoded before the first step, so that a bad line costs no training time.
  const std::vector<Drawn> examples = encode(s, transforms);
  if (needs.reward) {
    const std::string warning = loss_fn->warning(rewards_of(*this, examples));
    if (!warning.empty()) s.progress->message(warning, LogLevel::kWarning);
  }
  const auto units = units_of(s, examples, needs.group);
  Draws draws = draws_of(s, *this, examples, units);
  const auto filter = filter_of(s, *this, examples);

  s.evaluate_first([&](const std::string& when, Evaluation& out) { evaluate_loss(s, when, out); });
  while (s.state.step < c.train.steps) {
    s.begin_step();

    // The step's examples, as the inputs change them.
    std::vector<Drawn> drawn;
    std::vector<int64_t> groups;
    int64_t cursor = s.state.cursor;  // the state keeps its own until nothing can interrupt the step
    const auto draw = [&] {
      std::vector<int64_t> out = draws.step(cursor / c.train.batch_size);
      cursor += c.train.batch_size;
      return out;
    };
    // With a filter a unit is an example.
    const std::vector<int64_t> taken =
        filter == nullptr ? draw()
                          : filter->batch(s.state.step, draw, [&](const std::vector<int64_t>& which) {
                              return losses_of(s, examples, which);
                            });
    for (size_t g = 0; g < taken.size(); ++g) {
      for (const int64_t i : units[taken[g]]) {
        drawn.push_back(examples[i]);
        groups.push_back(static_cast<int64_t>(g));
      }
    }
    transforms.step(drawn);
    s.state.cursor = cursor;

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

    const at::Tensor reward = needs.reward ? rewards_of(*this, drawn).to(s.device()) : at::Tensor();
    const at::Tensor group = at::tensor(groups, at::kLong).to(s.device());
    loss_fn->prepare(reward);
    const bool observes = filter != nullptr && filter->observes();
    std::vector<at::Tensor> losses(batches.size());  // of single examples, when they are observed
    const UpdateOutcome done = s.update(batches, [&](const MicroBatch& micro) {
      ForwardOptions options = s.forward_options(true);
      options.embedding_noise = transforms.embedding_noise(drawn, micro);
      const auto batch = forward(s, needs, micro, options, reward, group);
      if (observes) losses[&micro - batches.data()] = example_losses(batch.logp, micro.targets);
      return LossShare{(*loss_fn)(batch).sum() / count};
    });
    if (observes) filter->observe(example_losses(s.ranks, batches, std::move(losses)));

    MetricsRow row;
    row.values = {{"loss", done.loss},
                  {"grad_norm", done.grad_norm},
                  {"lr", done.lr},
                  {"targets", static_cast<double>(targets)},
                  {"skipped", done.skipped ? 1.0 : 0.0}};
    if (filter != nullptr) {
      filter->add_metrics(row);
      s.state.loop["filter"] = filter->state();
    }
    s.end_step(std::move(row), {"loss", "grad_norm", "lr"}, tokens);
  }
}

}  // namespace temper
