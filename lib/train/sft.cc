// Supervised fine-tuning: token cross-entropy over the targets of the whole step, divided by their number.
#include <ATen/ATen.h>

#include <numeric>

#include "base/error.h"
#include "train/tasks.h"

namespace temper {

void train_sft(Session& s) {
  // All examples are encoded before the first step, so that a bad line costs no training time.
  std::vector<Example> examples;
  for (const Record& record : s.train_records) {
    Example example = s.encoder->supervised(record);
    if (!example.ids.empty()) examples.push_back(std::move(example));
  }
  if (examples.empty())
    user_error("data.train: no example is within max_tokens {}", s.config.data.max_tokens);
  if (examples.size() < s.train_records.size()) {
    s.progress->message(fmt::format("{} of {} examples are longer than max_tokens {} and left out",
                                    s.train_records.size() - examples.size(), s.train_records.size(),
                                    s.config.data.max_tokens));
  }
  const RecordOrder order(static_cast<int64_t>(examples.size()), static_cast<uint64_t>(s.config.seed),
                          s.config.data.order);
  const auto loss_fn = s.config.loss->make();
  const std::vector<int64_t> no_prompt;

  s.evaluate_first();
  while (s.state.step < s.config.train.steps) {
    s.begin_step();

    // The step's examples, packed end to end.
    std::vector<Sequence> sequences;
    int64_t tokens = 0, targets = 0;
    for (int64_t i = 0; i < s.config.train.batch_size; ++i) {
      const Example& e = examples[order.at(s.state.cursor + i)];
      sequences.push_back({&no_prompt, &e.ids, &e.target, i});
      tokens += static_cast<int64_t>(e.ids.size());
    }
    s.state.cursor += s.config.train.batch_size;
    const auto batches =
        cut_into_micro_batches(sequences, s.config.train.micro_batch_tokens, false, s.device());
    for (const MicroBatch& batch : batches) targets += batch.targets.token.size(0);

    const UpdateOutcome done = s.update(batches, s.config.train.steps, [&](const MicroBatch& batch) {
      const LogpResult logp = model_logp(*s.model, batch.tokens, batch.targets, {}, s.forward_options(true));
      const objective::SupervisedBatch numbers{logp.logp, batch.targets.sequence, batch.targets.sequences};
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
