#include "rollout/speculation_counts.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <vector>

#include "rollout/distribution.h"
#include "rollout/engine.h"
#include "rollout/letters.h"
#include "rollout/speculate/draft_model.h"
#include "rollout/speculate/lookup.h"
#include "rollout/speculate/skip.h"
#include "tensor/packed.h"

namespace temper {
namespace {

constexpr int64_t kIds = 6, kLength = 4;

std::unique_ptr<Model> model_of_few_ids(uint64_t seed) {
  ModelConfig c;
  c.family = "llama";
  c.vocab = kIds, c.hidden = 16, c.intermediate = 24, c.layers = 2, c.heads = 2, c.kv_heads = 1,
  c.head_dim = 8;
  c.max_positions = 64;
  auto model = Model::initialise(c, make_precision("f32", "cpu"), seed);
  at::NoGradGuard guard;
  for (Parameter* p : model->parameters())
    if (p->compute.dim() == 2) p->compute.mul_(p->name == "lm_head.weight" ? 12 : 20);
  return model;
}

// What comes behind prompt and beginning, by one whole forward pass.
std::vector<float> exact(Model& model, const std::vector<int64_t>& prompt, const std::vector<int64_t>& begin,
                         const SamplingOptions& sampling) {
  at::NoGradGuard guard;
  std::vector<int64_t> ids = prompt;
  ids.insert(ids.end(), begin.begin(), begin.end());
  Packer packer;
  packer.add_segment(ids);
  const at::Tensor hidden = model.hidden(packer.tokens_on(at::kCPU));
  at::Tensor logits = model.logits(hidden.narrow(0, hidden.size(0) - 1, 1)).contiguous();
  SeenTokens seen;
  for (const int64_t id : prompt) seen[id] = 0;
  for (const int64_t id : begin) ++seen[id];
  return TokenDistribution(logits.mutable_data_ptr<float>(), kIds, sampling, seen, {}).probabilities();
}

std::unique_ptr<SpeculationOptions> drafts_of(const std::string& kind) {
  if (kind == "lookup") return std::make_unique<LookupOptions>();
  if (kind == "skip") {
    auto skip = std::make_unique<SkipOptions>();
    skip->attention = {0}, skip->mlp = {1}, skip->draft_tokens = 2, skip->stop_below = 0.3;
    return skip;
  }
  auto draft = std::make_unique<DraftModelOptions>();
  draft->loaded = model_of_few_ids(8);
  draft->draft_tokens = 3, draft->stop_below = 0;
  return draft;
}

}  // namespace

ChiSquare chi_square(const std::string& kind, int64_t options, int64_t tokens) {
  const Letters letters;
  const auto model = model_of_few_ids(7);
  SamplingOptions sampling;
  sampling.max_new_tokens = kLength;
  if (options == 1) {
    sampling.temperature = 1.4, sampling.top_p = 0.9, sampling.repetition_penalty = 1.2;
    sampling.frequency_penalty = 0.1;
  }
  ChiSquare out;
  const auto speculation = drafts_of(kind);
  const bool alone = kind == "draft alone";
  EngineOptions engine;
  engine.speculation = alone ? nullptr : speculation.get();
  Model& writer = alone ? *dynamic_cast<DraftModelOptions&>(*speculation).loaded : *model;
  const GenerateRequest request{{1, 2, 3, 1, 2}, tokens / kLength};
  const auto texts = generate(writer, letters, {request}, sampling, engine, [&](const EngineProgress& p) {
    out.drafted = p.drafted, out.accepted = p.accepted;
  })[0];

  std::map<std::vector<int64_t>, std::vector<int64_t>> counts;  // of the next token, by beginning
  std::map<std::vector<int64_t>, std::vector<float>> expected;
  for (const Completion& text : texts) {
    for (size_t t = 0; t < text.ids.size(); ++t) {
      const std::vector<int64_t> begin(text.ids.begin(), text.ids.begin() + static_cast<int64_t>(t));
      auto& p = expected[begin];
      if (p.empty()) p = exact(*model, request.prompt, begin, sampling);
      auto& count = counts[begin];
      count.resize(kIds);
      ++count[static_cast<size_t>(text.ids[t])];
      const double logp = std::log(p[static_cast<size_t>(text.ids[t])]);
      if (!alone) out.logp_error = std::max(out.logp_error, std::abs(text.logp[t] - logp));
    }
  }
  for (const auto& [begin, count] : counts) {
    double all = 0, least = 1;
    for (const int64_t n : count) all += static_cast<double>(n);
    for (const float p : expected[begin]) least = p > 0 ? std::min<double>(least, p) : least;
    if (all * least < 5) continue;
    --out.freedom;
    for (int64_t id = 0; id < kIds; ++id) {
      const double e = all * expected[begin][static_cast<size_t>(id)];
      const double n = static_cast<double>(count[static_cast<size_t>(id)]);
      if (e == 0 && n > 0) out.value += 1e9;  // what may not come
      if (e == 0) continue;
      out.value += (n - e) * (n - e) / e;
      ++out.freedom;
    }
  }
  return out;
}

}  // namespace temper
