#include "task/rl/extra_rewards.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "rollout/constrained.h"
#include "task/rl/config.h"
#include "train/config.h"
#include "train/reference.h"
#include "train/sampling.h"
#include "train/session.h"

namespace temper {

at::Tensor greedy_rewards(Session& s, const std::vector<RolloutGroup>& groups) {
  SamplingOptions sampling = s.config.task->sampling();
  sampling.temperature = 0;
  std::vector<GenerateRequest> requests;
  for (const RolloutGroup& g : groups) {
    const Record& record = s.train_records.kept(g.record);
    requests.push_back({g.prompt, 1, static_cast<uint64_t>(g.draw)});
    requests.back().constraint = record_constraint(sampling, record.json, record.where());
  }
  const auto completions = complete(s, *s.model, requests,
                                    {.sampling = sampling,
                                     .seed = static_cast<uint64_t>(s.config.seed),
                                     .step = static_cast<uint64_t>(s.state.step)});
  std::vector<RolloutGroup> greedy = groups;
  for (size_t g = 0; g < greedy.size(); ++g) greedy[g].rollouts = {rollout_of(completions[g].front())};
  score(s, greedy);
  std::vector<double> out;
  for (size_t g = 0; g < groups.size(); ++g) {
    out.insert(out.end(), groups[g].rollouts.size(), greedy[g].rollouts.front().reward.value_or(kNull));
  }
  return at::tensor(out, at::kDouble).to(at::kFloat);
}

void reference_rewards(Session& s, const RlRollout& rollout, RolloutBatch& batch) {
  constexpr uint64_t kReferenceSeed = 0x7265666572ULL;  // apart from the training rollouts
  std::vector<RolloutGroup> open;
  std::map<int64_t, double>& known = batch.reference_rewards;
  for (const RolloutGroup& g : batch.groups) {
    const Json& columns = s.train_records.kept(g.record).json;
    if (known.contains(g.record)) continue;
    if (has_column(columns, "reference_reward")) {
      if (!columns["reference_reward"].is_number())
        user_error("{}: reference_reward: expected a number", s.train_records.kept(g.record).where());
      known[g.record] = columns["reference_reward"];
    } else {
      known[g.record] = 0;  // a record twice in the step is asked once
      open.push_back(g);
    }
  }
  if (!open.empty()) {
    const int64_t opening = opening_ids(s, rollout.openings).back();
    SamplingOptions sampling = rollout;
    sampling.max_new_tokens -= 1;
    std::vector<GenerateRequest> requests;
    for (const RolloutGroup& g : open) {
      requests.push_back({g.prompt, rollout.reference_samples, static_cast<uint64_t>(g.record)});
      requests.back().prompt.push_back(opening);
    }
    std::vector<std::vector<Completion>> completions;
    with_reference(s, [&](Model& reference) {
      // Not interruptible: a checkpoint must not be written while the adapter is off.
      completions = complete(s, reference, requests,
                             {.sampling = sampling,
                              .seed = static_cast<uint64_t>(s.config.seed) ^ kReferenceSeed,
                              .interruptible = false});
    });
    for (size_t i = 0; i < open.size(); ++i) {
      open[i].rollouts.clear();
      for (const Completion& c : completions[i]) open[i].rollouts.push_back(opened(s, c, 1, opening));
    }
    score(s, open);
    for (const RolloutGroup& g : open) {
      double sum = 0, count = 0;
      for (const Rollout& r : g.rollouts) {
        sum += r.reward.value_or(0.0);
        count += r.reward ? 1 : 0;
      }
      known[g.record] = sum / std::max(count, 1.0);
    }
  }
  for (RolloutGroup& g : batch.groups) g.reference_reward = known.at(g.record);
}

}  // namespace temper
