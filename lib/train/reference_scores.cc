#include "train/reference_scores.h"

#include <set>

#include "base/error.h"
#include "rollout/constrained.h"
#include "train/config.h"
#include "train/reference.h"
#include "train/sampling.h"
#include "train/session.h"
#include "train/shared.h"

namespace temper {
namespace {

// Apart from the training rollouts and from each other.
constexpr uint64_t kTrainSeed = 0x7265667472ULL, kEvalSeed = 0x7265666576ULL;

}  // namespace

void add_reference_scores(Session& s, const std::vector<ReferencePrompt>& prompts,
                          RunState::ReferenceScores& known) {
  const int64_t samples = s.rewards->reference_samples();
  if (samples == 0) return;
  std::vector<const ReferencePrompt*> open;
  std::set<int64_t> taken;  // a record twice is asked once
  std::vector<GenerateRequest> requests;
  const SamplingOptions sampling = s.config.task->sampling();
  for (const ReferencePrompt& prompt : prompts) {
    if (known.contains(prompt.record) || !taken.insert(prompt.record).second) continue;
    open.push_back(&prompt);
    requests.push_back({*prompt.ids, samples, static_cast<uint64_t>(prompt.record)});
    requests.back().constraint =
        record_constraint(sampling, *prompt.columns, fmt::format("record {}", prompt.record));
  }
  if (open.empty()) return;

  const uint64_t stream = &known == &s.state.eval_reference_scores ? kEvalSeed : kTrainSeed;
  std::vector<std::vector<Completion>> completions;
  with_reference(s, [&](Model& reference) {
    completions = complete(s, reference, requests,
                           {.sampling = sampling,
                            .seed = static_cast<uint64_t>(s.config.seed) ^ stream,
                            .interruptible = false});
  });
  std::vector<RewardItem> items;
  for (size_t i = 0; i < open.size(); ++i) {
    for (const Completion& c : completions[i])
      items.push_back({open[i]->text, c.text, c.raw_text, open[i]->columns,
                       static_cast<int64_t>(c.ids.size()), c.finish == FinishReason::kLength, &c.ids});
  }
  s.progress->inner("scoring answers of the reference model");
  const auto scored = shared_scores(
      s.ranks, items,
      [&](const std::vector<RewardItem>& mine) {
        return s.rewards->parts(
            mine, [&] { s.check_signal_in_share(); }, ScoredBy::kCompared);
      },
      [&](int signal) { s.stop_for(signal); });
  auto next = scored.begin();
  for (size_t i = 0; i < open.size(); ++i) {
    auto& rewards = known[open[i]->record];
    rewards.resize(s.rewards->names().size());
    for (size_t c = 0; c < completions[i].size(); ++c, ++next) {
      for (size_t r = 0; r < rewards.size(); ++r)
        if (next->parts[r].value) rewards[r].push_back(*next->parts[r].value);
    }
  }
}

}  // namespace temper
