#include "adapter/peft_files.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "adapter/targets.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace temper {

SafetensorsFile open_adapter_tensors(const std::string& folder) {
  const std::string path = folder + "/adapter_model.safetensors";
  if (!fs::exists(path)) {
    user_error("{}: there is no adapter_model.safetensors{}", folder,
               fs::exists(folder + "/adapter_model.bin")
                   ? "; adapter_model.bin is not read: save it as safetensors first"
                   : "");
  }
  return SafetensorsFile(path);
}

void fill_adapter_tensors(const SafetensorsFile& file, const std::string& path, const NamedTensors& tensors,
                          const std::set<std::string>& done) {
  const at::NoGradGuard no_grad;
  std::set<std::string> used;
  for (const auto& [name, tensor] : tensors) {
    const TensorInfo* info = file.find(name);
    if (info == nullptr) user_error("{}: \"{}\" is missing", path, name);
    if (info->shape != tensor.sizes().vec()) {
      user_error(
          "{}: \"{}\": expected shape {}, found {} (another base model, added tokens, or rank_pattern?)",
          path, name, shown_json(Json(tensor.sizes().vec())), shown_json(Json(info->shape)));
    }
    if (!c10::isFloatingType(info->dtype))
      user_error("{}: \"{}\": expected a floating-point type", path, name);
    at::Tensor(tensor).copy_(file.tensor(*info));
    used.insert(name);
  }
  for (const TensorInfo& info : file.tensors()) {
    if (!used.count(info.name) && !done.count(info.name))
      user_error("{}: \"{}\" belongs to nothing in this model", path, info.name.substr(0, 200));
  }
}

void check_config_keys(const Json& config, const std::set<std::string>& read,
                       const std::map<std::string, Json>& missing, const std::string& where) {
  static const std::set<std::string> common = {
      "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version",
      "revision",     "runtime_config",          "task_type"};
  const auto unused = [](const Json& value) {
    return value.is_null() || value == false || ((value.is_array() || value.is_object()) && value.empty());
  };
  const Json task_type = config.value("task_type", Json());
  if (!task_type.is_null() && task_type != "CAUSAL_LM" && task_type != "SEQ_CLS") {
    user_error("{}: task_type: {} is not supported; expected \"CAUSAL_LM\" or \"SEQ_CLS\"", where,
               shown_json(task_type));
  }
  for (const auto& [key, value] : config.items()) {
    const auto feature = missing.find(key);
    if (feature != missing.end()) {
      if (!unused(value) && value != feature->second) {
        user_error("{}: {}: {} is not supported; expected {}", where, key, shown_json(value),
                   shown_json(feature->second));
      }
    } else if (!read.count(key) && !common.count(key) && !unused(value)) {
      log_warning("{}: \"{}\": {} is not known and has no effect here", where, key.substr(0, 200),
                  shown_json(value));
    }
  }
}

void check_plain_linears(const Json& config, const std::string& where) {
  const std::string kind = shown_json(config.value("peft_type", Json()));
  for (const std::string& name : config_strings(config, "modules_to_save", where)) {
    if (name != "score" && name != "classifier")
      user_error("{}: modules_to_save: \"{}\" beside {} is not supported; expected none", where,
                 name.substr(0, 200), kind);
  }
  const Json targets = config.value("target_modules", Json());
  if (!targets.is_array()) return;
  for (const Json& target : targets) {
    for (const char* module : {kEmbedding, kHead}) {
      if (target.is_string() && path_ends_with(module, target.get<std::string>()))
        user_error("{}: target_modules: {} on \"{}\" is not supported; expected linears of the blocks", where,
                   kind, target.get<std::string>());
    }
  }
}

Json peft_config(Json own, const std::string& base_model, bool causal) {
  own["base_model_name_or_path"] = base_model.empty() ? Json(nullptr) : Json(base_model);
  own["inference_mode"] = true;
  own["modules_to_save"] = nullptr;
  own["peft_version"] = "0.21.2";  // whose format this is
  own["revision"] = nullptr;
  own["task_type"] = causal ? "CAUSAL_LM" : "SEQ_CLS";
  // In the order in which PEFT writes them.
  std::map<std::string, Json> sorted;
  for (const auto& [key, value] : own.items()) sorted[key] = value;
  Json out;
  for (auto& [key, value] : sorted) out[key] = std::move(value);
  return out;
}

void save_adapter(const std::string& folder, const NamedTensors& tensors, const Json& config) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) user_error("{}: cannot create the folder: {}", folder, error.message());
  write_safetensors(folder + "/adapter_model.safetensors", tensors);
  write_file_atomic(folder + "/adapter_config.json", config.dump(2) + "\n");
}

double config_number(const Json& config, const char* key, double fallback, double low, double high,
                     const std::string& where) {
  if (!config.contains(key) || config[key].is_null()) return fallback;
  const Json& value = config[key];
  if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high)) {
    user_error("{}: {}: expected a number from {} to {}, found {}", where, key, low, high, shown_json(value));
  }
  return value.get<double>();
}

std::vector<std::string> config_strings(const Json& config, const char* key, const std::string& where) {
  if (!config.contains(key) || config[key].is_null()) return {};
  const Json& value = config[key];
  const auto is_text = [](const Json& s) { return s.is_string(); };
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), is_text))
    user_error("{}: {}: expected an array of module names, found {}", where, key, shown_json(value));
  return value.get<std::vector<std::string>>();
}

std::string shown_json(const Json& value) {
  return dump_line(value).substr(0, 60);
}

Json whole_or_number(double value) {
  return value == std::floor(value) ? Json(static_cast<int64_t>(value)) : Json(value);
}

}  // namespace temper
