#include "task/sft/example_scores.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "tensor/packed.h"
#include "train/examples.h"
#include "train/session.h"
#include "train/shared.h"

namespace temper {

ExampleScores::ExampleScores(const std::vector<MicroBatch>& batches)
    : batches_(batches), numbers_(batches.size()) {}

void ExampleScores::note(const MicroBatch& micro, const LogpResult& logp) {
  const Targets& targets = micro.targets;
  const at::Tensor missed = logp.top_token.select(1, 0).ne(targets.token).to(at::kFloat);
  const at::Tensor losses = segment_mean(-logp.logp.detach(), targets.sequence, targets.sequences);
  const at::Tensor right = segment_sum(missed, targets.sequence, targets.sequences).eq(0).to(at::kFloat);
  numbers_[static_cast<size_t>(&micro - batches_.data())] = at::cat({losses, right}).cpu();
}

std::vector<Observation> ExampleScores::of_units(Session& s, const std::vector<int64_t>& units,
                                                 const std::vector<int64_t>& group) {
  std::vector<int64_t> sizes;
  for (const MicroBatch& micro : batches_) sizes.push_back(2 * micro.targets.sequences);
  share_numbers(s.ranks, sizes, numbers_);
  std::vector<Observation> out(units.size());
  std::vector<int64_t> examples(units.size(), 0);
  for (size_t i = 0; i < units.size(); ++i) out[i] = {.record = units[i], .right = true};
  for (size_t b = 0; b < batches_.size(); ++b) {
    const auto* number = numbers_[b].const_data_ptr<float>();
    const int64_t count = batches_[b].targets.sequences;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t unit = group[batches_[b].sequences[i]];
      Observation& one = out[unit];
      one.loss += (number[i] - one.loss) / static_cast<double>(++examples[unit]);
      one.right = one.right && number[count + i] == 1;
    }
  }
  return out;
}

std::vector<Observation> observe_now(Session& s, const std::vector<std::vector<const Example*>>& units,
                                     const std::vector<int64_t>& records) {
  const at::NoGradGuard guard;
  std::vector<Sequence> sequences;
  std::vector<int64_t> groups;
  for (size_t unit = 0; unit < units.size(); ++unit) {
    for (const Example* e : units[unit]) {
      sequences.push_back(whole_sequence(*e, static_cast<int64_t>(sequences.size())));
      groups.push_back(static_cast<int64_t>(unit));
    }
  }
  const auto batches = s.pack(sequences, false);
  const auto span = s.phases->in(Phase::kForward);
  ExampleScores scores(batches);
  for (size_t i = 0; i < batches.size(); ++i) {
    s.check_signal();
    if (!s.ranks.mine(i)) continue;
    LogpOptions options;
    options.top_k = 1;
    scores.note(batches[i], model_logp(*s.model, batches[i].tokens, batches[i].targets, options));
  }
  return scores.of_units(s, records, groups);
}

}  // namespace temper
