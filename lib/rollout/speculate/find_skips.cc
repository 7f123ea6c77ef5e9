#include "rollout/speculate/find_skips.h"

#include "base/error.h"
#include "base/json.h"

namespace temper {
namespace {

using Mask = std::vector<bool>;  // of attention and MLP of each layer in turn

SkipTrial trial_of(const Mask& mask) {
  SkipTrial out;
  for (size_t i = 0; i < mask.size(); ++i)
    if (mask[i]) (i % 2 == 0 ? out.attention : out.mlp).push_back(static_cast<int64_t>(i / 2));
  return out;
}

Mask drawn(RandomStream& random, size_t sublayers) {
  const double share = 0.1 + 0.6 * random.uniform();
  Mask mask(sublayers);
  for (size_t i = 0; i < sublayers; ++i) mask[i] = random.uniform() < share;
  return mask;
}

Mask changed(Mask mask, RandomStream& random) {
  for (uint64_t flips = 1 + random.below(3); flips > 0; --flips) {
    const size_t at = random.below(mask.size());
    mask[at] = !mask[at];
  }
  return mask;
}

}  // namespace

Json SkipTrial::to_json() const {
  return {{"kind", "skip"}, {"attention", attention}, {"mlp", mlp}};
}

double cost_without(const ModelConfig& c, const SkipTrial& trial) {
  const auto attention = [&](int64_t l) {
    return static_cast<double>(c.hidden * c.head_dim_of(l) * 2 * (c.heads + c.kv_heads_of(l)));
  };
  const auto mlp = [&](int64_t l) { return static_cast<double>(3 * c.hidden * c.intermediate_of(l)); };
  double whole = static_cast<double>(c.vocab * c.hidden), skipped = 0;
  for (int64_t l = 0; l < c.layers; ++l) whole += attention(l) + mlp(l);
  for (const int64_t l : trial.attention) skipped += attention(l);
  for (const int64_t l : trial.mlp) skipped += mlp(l);
  return 1 - skipped / whole;
}

SkipTrial find_skips(
    Model& model, const Tokenizer& tokenizer, const std::vector<GenerateRequest>& requests,
    const SamplingOptions& sampling, const EngineOptions& engine, int64_t trials,
    const std::function<void(int64_t trial, const SkipTrial& tried, const SkipTrial& best)>& on_trial) {
  const ModelConfig& config = model.config();
  if (config.layers < 2) user_error("find-skips: the model has one layer; nothing is left to skip");
  RandomStream random(engine.seed, "find skips");
  Mask best_mask(static_cast<size_t>(2 * config.layers));
  SkipTrial best;
  for (int64_t t = 0; t < trials; ++t) {
    const Mask mask = 3 * t < trials ? drawn(random, best_mask.size()) : changed(best_mask, random);
    SkipTrial tried = trial_of(mask);
    if (tried.attention.empty() && tried.mlp.empty()) continue;
    SkipOptions skip;
    skip.attention.assign(tried.attention.begin(), tried.attention.end());
    skip.mlp.assign(tried.mlp.begin(), tried.mlp.end());
    EngineOptions options = engine;
    options.speculation = &skip;
    EngineProgress progress;
    generate(model, tokenizer, requests, sampling, options, [&](const EngineProgress& p) { progress = p; });
    const auto drafted = static_cast<double>(progress.drafted);
    // Each completion's first token comes of its prompt's pass.
    tried.speed_up = static_cast<double>(progress.tokens - progress.total) /
                     (static_cast<double>(progress.passes) + drafted * cost_without(config, tried));
    tried.accepted = drafted > 0 ? static_cast<double>(progress.accepted) / drafted : 0;
    if (tried.speed_up >= best.speed_up) best = tried, best_mask = mask;
    if (on_trial) on_trial(t, tried, best);
  }
  return best;
}

}  // namespace temper
