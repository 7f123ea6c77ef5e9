#include "rollout/reading.h"

#include <ATen/ATen.h>

#include <utility>

#include "tensor/packed.h"

namespace temper {

KvShape kv_shape(const Model& model, bool routes) {
  const ModelConfig& config = model.config();
  const Precision& precision = model.precision();
  KvShape shape{{}, at::TensorOptions().dtype(precision.compute).device(precision.device)};
  // An accelerator's attention kernels have no heads as wide as latents are, and a prefix has whole heads.
  shape.latents = config.latent.rank > 0 && precision.device.is_cpu() && model.virtual_tokens() == nullptr;
  for (int64_t l = 0; l < config.layers; ++l) {
    if (shape.latents)
      shape.layers.push_back({1, config.latent.rank + config.latent.turned});
    else
      shape.layers.push_back({config.kv_heads_of(l), config.head_dim_of(l)});
  }
  if (routes) shape.routes = config.sparse_layers() * config.experts.chosen;
  return shape;
}

std::vector<ReadPrompt> read_prompts(Model& model, KvPool& pool,
                                     const std::vector<std::vector<int64_t>>& prompts) {
  Packer packer;
  std::vector<ReadPrompt> out;
  std::vector<const KvRun*> runs;
  for (const std::vector<int64_t>& prompt : prompts) {
    out.push_back({std::make_shared<KvRun>(pool), {}});
    out.back().run->extend(static_cast<int64_t>(prompt.size()));
    runs.push_back(out.back().run.get());
    packer.add_segment(prompt);
  }
  const PackedTokens tokens = packer.tokens_on(model.precision().device);
  PrefillContext context(tokens, std::move(runs));
  const at::Tensor hidden = model.hidden(tokens.ids, tokens.positions, context);
  int64_t begin = 0;
  for (ReadPrompt& prompt : out) {
    prompt.hidden = hidden.narrow(0, begin, prompt.run->length());
    begin += prompt.run->length();
  }
  return out;
}

void TokensToRead::add(int64_t id, const KvRun& prompt, KvRun& own) {
  ids_.push_back(id);
  positions_.push_back(prompt.length() + own.length());
  own.extend(1);
  rows_.push_back({&prompt, &own, own.length()});
}

at::Tensor TokensToRead::hidden(Model& model, const SkippedSublayers* skipped) {
  const at::Device device = model.precision().device;
  DecodeContext context(std::move(rows_), skipped);
  const at::Tensor out =
      model.hidden(at::tensor(ids_).to(device), at::tensor(positions_).to(device), context);
  ids_.clear(), positions_.clear(), rows_.clear();
  return out;
}

}  // namespace temper
