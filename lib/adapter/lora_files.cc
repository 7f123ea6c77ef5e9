#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "adapter/lora.h"
#include "adapter/targets.h"
#include "base/error.h"
#include "base/file.h"
#include "tensor/safetensors.h"

namespace temper {
namespace {

const char* const kPrefix = "base_model.model.";

Json whole_or_number(double value) {
  return value == std::floor(value) ? Json(static_cast<int64_t>(value)) : Json(value);
}

std::string shown(const Json& value) {
  return dump_line(value).substr(0, 60);
}

// Features of PEFT's LoRA that change what is computed, with the value that means "not used".
const std::vector<std::pair<const char*, Json>>& unused_features() {
  static const std::vector<std::pair<const char*, Json>> list = {{"use_dora", false},
                                                                 {"lora_bias", false},
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
  j["use_dora"] = false;
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
      user_error("{}: {}: {} is not supported; expected {}", where, key, shown(value), shown(unused));
    }
  }
  const Json init = get("init_lora_weights");
  if (init.is_string() && init != "gaussian" && init != "eva" && init != "orthogonal") {
    user_error(
        "{}: init_lora_weights: {} changed the base model's weights; save the adapter in PEFT with "
        "path_initial_model_for_weight_conversion, which makes it a plain LoRA",
        where, shown(init));
  }
  LoraOptions o;
  auto number = [&](const char* key, double fallback, double low, double high) {
    const Json value = get(key);
    if (value.is_null()) return fallback;
    if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high)) {
      user_error("{}: {}: expected a number from {} to {}, found {}", where, key, low, high, shown(value));
    }
    return value.get<double>();
  };
  const double rank = number("r", 8, 1, 8192);
  if (rank != std::floor(rank)) user_error("{}: r: expected a whole number, found {}", where, rank);
  o.rank = static_cast<int64_t>(rank);
  o.alpha = number("lora_alpha", 8, 1e-6, 1e6);
  o.dropout = number("lora_dropout", 0, 0, 0.99);
  const Json rslora = get("use_rslora");
  if (!rslora.is_null() && !rslora.is_boolean())
    user_error("{}: use_rslora: expected true or false, found {}", where, shown(rslora));
  o.rslora = rslora == true;
  o.targets = get("target_modules");
  for (const auto& [key, to] :
       {std::pair("rank_pattern", &o.rank_pattern), std::pair("alpha_pattern", &o.alpha_pattern)}) {
    const Json value = get(key);
    if (value.is_null()) continue;
    if (!value.is_object()) user_error("{}: {}: expected an object, found {}", where, key, shown(value));
    *to = value;
  }
  const Json saved = get("modules_to_save");
  if (!saved.is_null()) {
    if (!saved.is_array() ||
        !std::all_of(saved.begin(), saved.end(), [](const Json& s) { return s.is_string(); })) {
      user_error("{}: modules_to_save: expected an array of module names, found {}", where, shown(saved));
    }
    o.modules_to_save = saved.get<std::vector<std::string>>();
  }
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
  if (!fs::exists(path)) {
    user_error("{}: there is no adapter_model.safetensors{}", folder,
               fs::exists(folder + "/adapter_model.bin")
                   ? "; adapter_model.bin is not read: save it as safetensors first"
                   : "");
  }
  const SafetensorsFile file(path);

  // The tensors say which modules are adapted; the config must agree unless it narrows its targets by layer.
  std::vector<std::string> paths;
  std::set<std::string> used;
  for (const std::string& module : model.linear_modules()) {
    if (file.find(kPrefix + module + ".lora_A.weight") != nullptr) paths.push_back(module);
  }
  auto given = [&](const char* key) {
    return config.contains(key) && !config[key].is_null() && !config[key].empty();
  };
  if (!given("exclude_modules") && !given("layers_to_transform")) {
    for (const std::string& module :
         select_modules(model.linear_modules(), options.targets, where + ": target_modules")) {
      if (std::find(paths.begin(), paths.end(), module) == paths.end()) {
        user_error("{}: \"{}{}.lora_A.weight\" is missing, but target_modules names it", path, kPrefix,
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
    const TensorInfo* a = file.find(kPrefix + module + ".lora_A.weight");
    if (a->shape.empty() || static_cast<double>(a->shape[0]) != rank) {
      user_error("{}: \"{}\" has shape {}, but the config's rank for it is {}", path, a->name,
                 shown(Json(a->shape)), rank);
    }
  }

  auto adapter = std::make_unique<LoraAdapter>(model, options, paths, 0, where);
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : adapter->tensors()) {
    const TensorInfo* info = file.find(name);
    if (info == nullptr) user_error("{}: \"{}\" is missing", path, name);
    if (info->shape != tensor.sizes().vec()) {
      user_error("{}: \"{}\": expected shape {}, found {} (another base model, or rank_pattern?)", path, name,
                 shown(Json(tensor.sizes().vec())), shown(Json(info->shape)));
    }
    if (!c10::isFloatingType(info->dtype))
      user_error("{}: \"{}\": expected a floating-point type", path, name);
    tensor.copy_(file.tensor(*info));
    used.insert(name);
  }
  for (const TensorInfo& info : file.tensors()) {
    if (!used.count(info.name))
      user_error("{}: \"{}\" belongs to nothing in this model", path, info.name.substr(0, 200));
  }
  adapter->refresh();
  if (config.contains("base_model_name_or_path") && config["base_model_name_or_path"].is_string()) {
    adapter->set_base_model(config["base_model_name_or_path"].get<std::string>());
  }
  return adapter;
}

}  // namespace temper
