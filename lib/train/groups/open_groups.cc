#include "train/groups/open_groups.h"

#include "train/config.h"
#include "train/sampling.h"
#include "train/session.h"

namespace temper {

std::vector<RolloutGroup> sample_further(Session& s, int64_t step_tokens, bool routes,
                                         std::vector<RolloutGroup>& groups) {
  const RolloutSection& o = s.config.task->sampling();
  std::vector<GenerateRequest> requests;
  for (RolloutGroup& g : groups) {
    if (g.rollouts.empty()) {
      g.rollouts.resize(static_cast<size_t>(o.group_size));
      for (Rollout& r : g.rollouts) r.finish = finish_name(FinishReason::kOpen);
    }
    GenerateRequest& request =
        requests.emplace_back(GenerateRequest{g.prompt, 0, static_cast<uint64_t>(g.draw)});
    for (size_t i = 0; i < g.rollouts.size(); ++i) {
      const Rollout& r = g.rollouts[i];
      if (r.open()) request.begun.push_back({static_cast<int64_t>(i), r.ids, r.logp_rollout});
    }
    request.samples = static_cast<int64_t>(request.begun.size());
  }
  const auto completions = complete(s, *s.model, requests,
                                    {.sampling = o,
                                     .seed = static_cast<uint64_t>(s.config.seed),
                                     .step = static_cast<uint64_t>(s.state.step),
                                     .step_tokens = step_tokens,
                                     .keep_routes = routes});
  std::vector<RolloutGroup> ended, open;
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t i = 0; i < completions[g].size(); ++i) {
      Rollout& r = groups[g].rollouts[static_cast<size_t>(requests[g].begun[i].sample)];
      const int64_t older = r.older;
      r = rollout_of(completions[g][i]);
      r.older = older;
    }
    (groups[g].open() ? open : ended).push_back(std::move(groups[g]));
  }
  groups = std::move(open);
  score(s, ended);
  return ended;
}

}  // namespace temper
