#include "task/sft/example_losses.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "train/examples.h"
#include "train/session.h"
#include "train/shared.h"

namespace temper {

at::Tensor example_losses(const at::Tensor& logp, const Targets& targets) {
  return -segment_mean(logp.detach().to(at::kFloat), targets.sequence, targets.sequences);
}

std::vector<double> example_losses(Ranks& ranks, const std::vector<MicroBatch>& batches,
                                   std::vector<at::Tensor> parts) {
  std::vector<int64_t> sizes;
  for (const MicroBatch& batch : batches) sizes.push_back(batch.targets.sequences);
  share_numbers(ranks, sizes, parts);
  std::vector<double> out;
  for (const at::Tensor& part : parts) {
    const at::Tensor host = part.cpu().to(at::kDouble).contiguous();
    out.insert(out.end(), host.const_data_ptr<double>(), host.const_data_ptr<double>() + host.numel());
  }
  return out;
}

std::vector<double> example_losses(Session& s, const std::vector<const Example*>& examples) {
  const at::NoGradGuard guard;
  std::vector<Sequence> sequences;
  for (const Example* e : examples)
    sequences.push_back(whole_sequence(*e, static_cast<int64_t>(sequences.size())));
  const auto batches =
      cut_into_micro_batches(sequences, s.config.train.micro_batch_tokens, false, s.device());
  std::vector<at::Tensor> parts(batches.size());
  for (size_t i = 0; i < batches.size(); ++i) {
    s.check_signal();
    if (!s.ranks.mine(i)) continue;
    const at::Tensor logp = model_logp(*s.model, batches[i].tokens, batches[i].targets).logp;
    parts[i] = example_losses(logp, batches[i].targets);
  }
  return example_losses(s.ranks, batches, std::move(parts));
}

}  // namespace temper
