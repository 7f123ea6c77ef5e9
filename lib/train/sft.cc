// Supervised fine-tuning: a loss a target token, summed over the whole step and divided by the step's
// targets. Which loss: the "loss" section. What the examples go through before: the "inputs" section.
#include <ATen/ATen.h>

#include "base/error.h"
#include "train/tasks.h"

namespace temper {
namespace {

// The examples of the records that are not too long, each with its record.
std::vector<Drawn> encode(const Session& s) {
  std::vector<Drawn> out;
  for (const Record& record : s.train_records) {
    Example example = s.encoder->supervised(record);
    if (!example.ids.empty()) out.push_back({std::move(example), &record});
  }
  if (out.empty()) user_error("data.train: no example is within max_tokens {}", s.config.data.max_tokens);
  if (out.size() < s.train_records.size()) {
    s.progress->message(fmt::format("{} of {} examples are longer than max_tokens {} and left out",
                                    s.train_records.size() - out.size(), s.train_records.size(),
                                    s.config.data.max_tokens));
  }
  return out;
}

// [S] rewards of examples.
at::Tensor rewards_of(const Session& s, const std::vector<Drawn>& examples) {
  std::vector<double> out;
  for (const Drawn& d : examples)
    out.push_back(number_column(*d.record, s.config.data.reward_column, "loss.name " + s.config.loss_name));
  return at::tensor(out).to(at::kFloat);
}

}  // namespace

void train_sft(Session& s) {
  const RunConfig& c = s.config;
  const auto loss_fn = c.loss->make();
  const objective::SupervisedNeeds needs = loss_fn->needs();
  Inputs inputs(c.inputs, s);
  inputs.records();
  // All examples are encoded before the first step, so that a bad line costs no training time.
  const std::vector<Drawn> examples = encode(s);
  if (needs.reward) rewards_of(s, examples);
  const RecordOrder order(static_cast<int64_t>(examples.size()), static_cast<uint64_t>(c.seed), c.data.order);
  const std::vector<int64_t> no_prompt;

  s.evaluate_first();
  while (s.state.step < c.train.steps) {
    s.begin_step();

    // The step's examples, as the inputs change them.
    std::vector<Drawn> drawn;
    for (int64_t i = 0; i < c.train.batch_size; ++i) drawn.push_back(examples[order.at(s.state.cursor + i)]);
    s.state.cursor += c.train.batch_size;
    inputs.step(drawn);

    // Packed end to end.
    std::vector<Sequence> sequences;
    int64_t tokens = 0, targets = 0;
    for (size_t i = 0; i < drawn.size(); ++i) {
      const Example& e = drawn[i].example;
      sequences.push_back(
          {&no_prompt, &e.ids, &e.target, static_cast<int64_t>(i), e.input.empty() ? nullptr : &e.input});
      tokens += static_cast<int64_t>(e.ids.size());
    }
    const auto batches = cut_into_micro_batches(sequences, c.train.micro_batch_tokens, false, s.device());
    for (const MicroBatch& batch : batches) targets += batch.targets.token.size(0);
    const at::Tensor reward = needs.reward ? rewards_of(s, drawn).to(s.device()) : at::Tensor();
    loss_fn->prepare(reward);

    const UpdateOutcome done = s.update(batches, c.train.steps, [&](const MicroBatch& batch) {
      LogpOptions options;
      options.mean_logp = needs.mean_logp;
      ForwardOptions forward = s.forward_options(true);
      forward.embedding_noise = inputs.embedding_noise(drawn, batch);
      const LogpResult logp = model_logp(*s.model, batch.tokens, batch.targets, options, forward);
      objective::SupervisedBatch numbers;
      numbers.logp = logp.logp;
      numbers.mean_logp = logp.mean_logp;
      numbers.sequence = batch.targets.sequence;
      numbers.sequences = batch.targets.sequences;
      if (needs.reward) numbers.reward = reward.narrow(0, batch.sequences.front(), numbers.sequences);
      return (*loss_fn)(numbers).sum() / static_cast<double>(targets);
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
