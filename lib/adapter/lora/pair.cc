#include "adapter/lora/pair.h"

#include "adapter/lora/targets.h"
#include "adapter/peft_files.h"
#include "base/error.h"

namespace temper {

void LoraPairOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  LoraOptions::check(problems, where);
  if (init == "corda")
    problems.push_back(where + ".init: a pair takes no start from the data; choose another");
  if (!modules_to_save.empty())
    problems.push_back(where +
                       ".modules_to_save: two adapters cannot train the same whole module; leave it out");
}

std::unique_ptr<Adapter> LoraPairOptions::attach(Model& model, uint64_t seed) const {
  LoraOptions options = *this;
  const LoraTargets chosen = lora_targets(model, options, "adapter");
  for (const std::string& path : chosen.modules) {
    if (path == kEmbedding || path == kHead)
      user_error("adapter.targets: a pair stands on weights of the blocks, not on \"{}\"; name others", path);
  }
  // Both from the same values: only what they learn sets them apart.
  auto first = std::make_unique<LoraAdapter>(model, options, chosen, seed, "adapter");
  auto second = std::make_unique<LoraAdapter>(model, options, chosen, seed, "adapter");
  return std::make_unique<LoraPairAdapter>(std::move(first), std::move(second));
}

LoraPairAdapter::LoraPairAdapter(std::unique_ptr<LoraAdapter> first, std::unique_ptr<LoraAdapter> second)
    : both_{std::move(first), std::move(second)} {
  select(0);
}

std::vector<std::pair<std::string, at::Tensor>> LoraPairAdapter::trainable() {
  std::vector<std::pair<std::string, at::Tensor>> out;
  for (const int i : {0, 1}) {
    for (auto& [name, tensor] : both_[i]->trainable())
      out.emplace_back((i == 0 ? "first." : "second.") + name, tensor);
  }
  return out;
}

void LoraPairAdapter::refresh() {
  for (auto& one : both_) one->refresh();
}

void LoraPairAdapter::set_enabled(bool enabled) {
  both_[in_place_]->set_enabled(enabled);
}

void LoraPairAdapter::set_step(uint64_t seed, uint64_t step, uint64_t micro_batch) {
  for (auto& one : both_) one->set_step(seed, step, micro_batch);
}

void LoraPairAdapter::save(const std::string& folder, at::ScalarType dtype) {
  both_[in_place_]->set_base_model(base_model_);
  both_[in_place_]->save(folder, dtype);
}

void LoraPairAdapter::merge() {
  both_[in_place_]->merge();
}

void LoraPairAdapter::select(int which) {
  in_place_ = which;
  both_[which]->set_enabled(true);
}

}  // namespace temper
