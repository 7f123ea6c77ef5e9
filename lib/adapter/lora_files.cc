#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "adapter/lora.h"
#include "adapter/peft_files.h"
#include "adapter/targets.h"
#include "base/error.h"

namespace temper {
namespace {

// Features of PEFT's LoRA that change what is computed, with the value that means "not used".
const std::vector<std::pair<const char*, Json>>& unused_features() {
  static const std::vector<std::pair<const char*, Json>> list = {{"lora_bias", false},
                                                                 {"bias", "none"},
                                                                 {"fan_in_fan_out", false},
                                                                 {"use_qalora", false},
                                                                 {"use_bdlora", nullptr},
                                                                 {"kasa_config", nullptr},
                                                                 {"monteclora_config", nullptr},
                                                                 {"velora_config", nullptr},
                                                                 {"arrow_config", nullptr},
                                                                 {"layer_replication", nullptr},
                                                                 {"target_parameters", nullptr},
                                                                 {"trainable_token_indices", nullptr},
                                                                 {"alora_invocation_tokens", nullptr}};
  return list;
}

}  // namespace

Json lora_config_json(const LoraOptions& o, const Json& targets, const std::string& base_model,
                      bool tied_head, bool causal) {
  Json j;
  j["alora_invocation_tokens"] = nullptr;
  j["alpha_pattern"] = o.alpha_pattern;
  j["arrow_config"] = nullptr;
  j["auto_mapping"] = nullptr;
  j["base_model_name_or_path"] = base_model.empty() ? Json(nullptr) : Json(base_model);
  j["bias"] = "none";
  j["corda_config"] = nullptr;
  j["ensure_weight_tying"] = tied_head;
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
  j["lora_dropout"] = o.dropout;
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
  j["target_modules"] = targets;
  j["target_parameters"] = nullptr;
  j["task_type"] = causal ? "CAUSAL_LM" : "SEQ_CLS";
  j["trainable_token_indices"] = nullptr;
  j["use_bdlora"] = nullptr;
  j["use_dora"] = o.dora;
  j["use_qalora"] = false;
  j["use_rslora"] = o.rslora;
  j["velora_config"] = nullptr;
  return j;
}

LoraOptions lora_options_from(const Json& config, const std::string& where) {
  auto get = [&](const char* key) { return config.contains(key) ? config[key] : Json(nullptr); };
  for (const auto& [key, unused] : unused_features()) {
    const Json value = get(key);
    if (!value.is_null() && value != unused && value != false) {
      user_error("{}: {}: {} is not supported; expected {}", where, key, shown_json(value),
                 shown_json(unused));
    }
  }
  const Json init = get("init_lora_weights");
  if (init.is_string() && init != "gaussian" && init != "eva" && init != "orthogonal") {
    user_error(
        "{}: init_lora_weights: {} changed the base model's weights; save the adapter in PEFT with "
        "path_initial_model_for_weight_conversion, which makes it a plain LoRA",
        where, shown_json(init));
  }
  LoraOptions o;
  const auto number = [&](const char* key, double fallback, double low, double high) {
    return config_number(config, key, fallback, low, high, where);
  };
  const double rank = number("r", 8, 1, 8192);
  if (rank != std::floor(rank)) user_error("{}: r: expected a whole number, found {}", where, rank);
  o.rank = static_cast<int64_t>(rank);
  o.alpha = number("lora_alpha", 8, 1e-6, 1e6);
  o.dropout = number("lora_dropout", 0, 0, 0.99);
  const Json rslora = get("use_rslora");
  if (!rslora.is_null() && !rslora.is_boolean())
    user_error("{}: use_rslora: expected true or false, found {}", where, shown_json(rslora));
  o.rslora = rslora == true;
  const Json dora = get("use_dora");
  if (!dora.is_null() && !dora.is_boolean())
    user_error("{}: use_dora: expected true or false, found {}", where, shown_json(dora));
  o.dora = dora == true;
  o.targets = get("target_modules");
  for (const auto& [key, to] :
       {std::pair("rank_pattern", &o.rank_pattern), std::pair("alpha_pattern", &o.alpha_pattern)}) {
    const Json value = get(key);
    if (value.is_null()) continue;
    if (!value.is_object()) user_error("{}: {}: expected an object, found {}", where, key, shown_json(value));
    *to = value;
  }
  o.modules_to_save = config_strings(config, "modules_to_save", where);
  if (get("task_type") == "SEQ_CLS") {
    // PEFT adds both names that a head may have to the list, whichever there is.
    std::erase(o.modules_to_save, "classifier");
    std::erase(o.modules_to_save, "score");
    o.modules_to_save.push_back("score");
  }
  return o;
}

std::unique_ptr<Adapter> load_lora(Model& model, const std::string& folder, const Json& config) {
  const std::string where = folder + "/adapter_config.json", path = folder + "/adapter_model.safetensors";
  const LoraOptions options = lora_options_from(config, where);
  const SafetensorsFile file = open_adapter_tensors(folder);

  // The tensors say which modules are adapted; the config must agree unless it narrows its targets by layer.
  std::vector<std::string> paths;
  for (const std::string& module : model.linear_modules()) {
    if (file.find(kPeftPrefix + module + ".lora_A.weight") != nullptr) paths.push_back(module);
  }
  auto given = [&](const char* key) {
    return config.contains(key) && !config[key].is_null() && !config[key].empty();
  };
  if (!given("exclude_modules") && !given("layers_to_transform")) {
    for (const std::string& module :
         select_modules(model.linear_modules(), options.targets, where + ": target_modules")) {
      if (std::find(paths.begin(), paths.end(), module) == paths.end()) {
        user_error("{}: \"{}{}.lora_A.weight\" is missing, but target_modules names it", path, kPeftPrefix,
                   module);
      }
    }
  }
  if (paths.empty()) user_error("{}: holds no LoRA tensor of a module of this model", path);
  if (model.config().tied && !options.modules_to_save.empty() &&
      !(config.contains("ensure_weight_tying") && config["ensure_weight_tying"] == true)) {
    for (const std::string& name : options.modules_to_save) {
      if (std::string("model.embed_tokens").ends_with(name) || std::string("lm_head").ends_with(name)) {
        user_error("{}: modules_to_save: \"{}\" of a model whose head is tied needs ensure_weight_tying true",
                   where, name);
      }
    }
  }

  for (const std::string& module : paths) {  // before anything of these sizes is made
    const double rank = pattern_value(options.rank_pattern, module, static_cast<double>(options.rank),
                                      where + ": rank_pattern");
    const TensorInfo* a = file.find(kPeftPrefix + module + ".lora_A.weight");
    if (a->shape.empty() || static_cast<double>(a->shape[0]) != rank) {
      user_error("{}: \"{}\" has shape {}, but the config's rank for it is {}", path, a->name,
                 shown_json(Json(a->shape)), rank);
    }
  }

  auto adapter = std::make_unique<LoraAdapter>(model, options, paths, 0, where);
  fill_adapter_tensors(file, path, adapter->folder_tensors());
  adapter->refresh();
  return adapter;
}

}  // namespace temper
