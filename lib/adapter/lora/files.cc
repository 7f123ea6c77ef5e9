// A LoRA's folder as PEFT writes it.
#include <ATen/ATen.h>

#include <cmath>

#include "adapter/lora/lora.h"
#include "adapter/lora/targets.h"
#include "adapter/peft_files.h"
#include "adapter/targets.h"
#include "base/error.h"

namespace temper {

Json lora_config_json(const LoraOptions& o, const std::string& base_model, bool ensure_tied, bool causal) {
  Json j;
  j["alora_invocation_tokens"] = nullptr;
  j["alpha_pattern"] = o.alpha_pattern;
  j["arrow_config"] = nullptr;
  j["auto_mapping"] = nullptr;
  j["base_model_name_or_path"] = base_model.empty() ? Json(nullptr) : Json(base_model);
  j["bias"] = "none";
  j["corda_config"] = nullptr;
  j["ensure_weight_tying"] = ensure_tied;
  j["eva_config"] = nullptr;
  j["exclude_modules"] = nullptr;
  j["fan_in_fan_out"] = false;
  j["inference_mode"] = true;
  j["init_lora_weights"] = true;
  j["kasa_config"] = nullptr;
  j["layer_replication"] = nullptr;
  j["layers_pattern"] = nullptr;
  j["layers_to_transform"] = nullptr;
  j["loftq_config"] = Json::object();
  j["lora_alpha"] = whole_or_number(o.alpha);
  j["lora_bias"] = false;
  // PEFT takes none beside target_parameters, and a folder's is for training alone.
  j["lora_dropout"] = o.target_parameters.empty() ? o.dropout : 0.0;
  j["lora_ga_config"] = nullptr;
  j["megatron_config"] = nullptr;
  j["megatron_core"] = "megatron.core";
  j["modules_to_save"] = o.modules_to_save.empty() ? Json(nullptr) : Json(o.modules_to_save);
  j["monteclora_config"] = nullptr;
  j["peft_type"] = "LORA";
  j["peft_version"] = "0.21.2";  // whose format this is
  j["qalora_group_size"] = 16;
  j["r"] = o.rank;
  j["rank_pattern"] = o.rank_pattern;
  j["revision"] = nullptr;
  j["target_modules"] = o.targets;
  j["target_parameters"] = o.target_parameters.empty() ? Json(nullptr) : Json(o.target_parameters);
  j["task_type"] = causal ? "CAUSAL_LM" : "SEQ_CLS";
  j["trainable_token_indices"] = nullptr;
  j["use_bdlora"] = nullptr;
  j["use_dora"] = o.dora;
  j["use_qalora"] = false;
  j["use_rslora"] = o.rslora;
  j["velora_config"] = nullptr;
  return j;
}

NamedTensors LoraAdapter::folder_tensors() const {
  NamedTensors out;
  const bool causal = model_.config().causal, tied = model_.config().tied && causal;
  for (const LoraModule& m : modules_) {
    const LoraFactors update = whole_update(m);
    const std::string path = kPeftPrefix + m.path;
    if (m.embedding) {
      out.emplace_back(path + ".lora_embedding_A", update.b.t());
      out.emplace_back(path + ".lora_embedding_B", update.a.t());
    } else {
      out.emplace_back(path + ".lora_A.weight", update.a);
      out.emplace_back(path + ".lora_B.weight", update.b);
    }
    if (m.magnitude.defined()) out.emplace_back(path + ".lora_magnitude_vector", m.magnitude.detach());
    if (!m.embedding || !tied) continue;
    // PEFT writes the update of a tied head a second time.
    const std::string head = std::string(kPeftPrefix) + kHead;
    out.emplace_back(head + ".lora_A.weight", update.a);
    out.emplace_back(head + ".lora_B.weight", update.b);
  }
  for (auto& saved : saved_.folder_tensors(causal)) out.push_back(std::move(saved));
  return out;
}

void LoraAdapter::save(const std::string& folder, at::ScalarType) {
  if (!base_.values.empty() || base_.changed) {
    user_error(
        "{}: the adapter was loaded with values for the base model itself (biases, rows of tokens or a whole "
        "embedding), which are not written; merge it instead",
        folder);
  }
  const bool causal = model_.config().causal;
  std::vector<std::string> chosen;
  bool tied = saved_.trains_tied_head();
  LoraOptions options = options_;
  for (const LoraModule& m : modules_) {
    chosen.push_back(m.target == m.path ? peft_target(model_.config(), m.path) : m.target);
    tied = tied || (m.embedding && model_.config().tied && causal);
    if (chosen.back() == m.target) continue;
    // By another name than the one that the patterns know.
    const double rank = pattern_value(options.rank_pattern, m.target, 0, folder);
    const double alpha = pattern_value(options.alpha_pattern, m.target, 0, folder);
    if (rank > 0) options.rank_pattern[chosen.back()] = whole_or_number(rank);
    if (alpha > 0) options.alpha_pattern[chosen.back()] = whole_or_number(alpha);
  }
  name_targets(model_, chosen, options);
  // A regular expression is kept as the user wrote it; names are what PEFT writes for "all-linear" too.
  if (options_.targets.is_string() && options_.targets != "all-linear" && options.target_parameters.empty() &&
      select_modules(lora_places(model_), options_.targets, folder) == chosen)
    options.targets = options_.targets;
  if (modules_.front().a0.defined()) {  // twice the rank, with the same scale
    const double alphas = options.rslora ? std::sqrt(2.0) : 2.0;
    options.rank *= 2;
    options.alpha *= alphas;
    for (auto& rank : options.rank_pattern) rank = 2 * rank.get<double>();
    for (auto& alpha : options.alpha_pattern) alpha = alphas * alpha.get<double>();
  }
  if (causal) std::erase(options.modules_to_save, "score");  // a critic's head is no part of the policy
  save_adapter(folder, folder_tensors(), lora_config_json(options, base_model_, tied, causal));
}

}  // namespace temper
