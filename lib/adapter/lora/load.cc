// Reading a LoRA's folder, whatever PEFT wrote into it: besides A and B there may be whole modules, rows of
// tokens, biases, and the base's own matrices, which PEFT writes when tokens were added or the embedding or
// the head is adapted.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "adapter/lora/lora.h"
#include "adapter/lora/targets.h"
#include "adapter/peft_files.h"
#include "adapter/targets.h"
#include "base/error.h"
#include "base/log.h"

namespace temper {
namespace {

using at::Tensor;

// Keys that are read, and those that only say how the adapter came about.
const std::set<std::string>& read_keys() {
  static const std::set<std::string> keys = {"r",
                                             "lora_alpha",
                                             "lora_dropout",
                                             "use_rslora",
                                             "use_dora",
                                             "rank_pattern",
                                             "alpha_pattern",
                                             "target_modules",
                                             "target_parameters",
                                             "exclude_modules",
                                             "layers_to_transform",
                                             "layers_pattern",
                                             "modules_to_save",
                                             "init_lora_weights",
                                             "ensure_weight_tying",
                                             "trainable_token_indices",
                                             "bias",
                                             "eva_config",
                                             "corda_config",
                                             "lora_ga_config",
                                             "loftq_config",
                                             "megatron_core",
                                             "qalora_group_size"};
  return keys;
}

// Features of PEFT's LoRA that change what is computed, with the value that means "not used".
const std::map<std::string, Json>& missing_features() {
  static const std::map<std::string, Json> features = {{"lora_bias", false},
                                                       {"fan_in_fan_out", false},
                                                       {"use_qalora", false},
                                                       {"use_bdlora", nullptr},
                                                       {"kasa_config", nullptr},
                                                       {"monteclora_config", nullptr},
                                                       {"velora_config", nullptr},
                                                       {"arrow_config", nullptr},
                                                       {"megatron_config", nullptr},
                                                       {"layer_replication", nullptr},
                                                       {"alora_invocation_tokens", nullptr}};
  return features;
}

// Rows of tokens that were trained, by module.
std::map<std::string, std::vector<int64_t>> trained_tokens(const Json& value, const std::string& where) {
  std::map<std::string, std::vector<int64_t>> out;
  if (value.is_null()) return out;
  Json by_name = value;
  if (!value.is_object()) by_name = Json::object({{"embed_tokens", value}});
  for (const auto& [name, ids] : by_name.items()) {
    const auto is_id = [](const Json& id) { return id.is_number_integer() && id >= 0; };
    if (!ids.is_array() || !std::all_of(ids.begin(), ids.end(), is_id))
      user_error("{}: trainable_token_indices: expected arrays of token ids, found {}", where,
                 shown_json(value));
    const char* module = path_ends_with(kEmbedding, name) ? kEmbedding : name == kHead ? kHead : nullptr;
    if (module == nullptr) {
      user_error("{}: trainable_token_indices: expected embed_tokens or lm_head, found \"{}\"", where,
                 name.substr(0, 200));
    }
    out[module] = ids.get<std::vector<int64_t>>();
  }
  return out;
}

class LoraFolder {
 public:
  LoraFolder(Model& model, const std::string& folder, const Json& config)
      : model_(model),
        where_(folder + "/adapter_config.json"),
        options_(lora_options_from(config, where_)),
        file_(open_adapter_tensors(folder)),
        config_(config) {}

  std::unique_ptr<Adapter> load();

 private:
  bool flag(const char* key) const { return config_.contains(key) && config_[key] == true; }
  bool given(const char* key) const {
    return config_.contains(key) && !config_[key].is_null() && !config_[key].empty();
  }
  const TensorInfo* find(const std::string& module, const std::string& ending) const {
    return file_.find(kPeftPrefix + module + ending);
  }
  bool saved(const std::string& module) const;  // whole, by modules_to_save
  void refuse_apart() const;
  void take_matrices();
  void untie();
  LoraTargets adapted() const;
  void check_rank(const std::string& path, const std::string& target) const;
  void take_biases();
  void take_tokens();

  Model& model_;
  const std::string where_;
  const LoraOptions options_;
  const SafetensorsFile file_;
  const Json& config_;
  bool tied_ = false;                                   // and kept so
  std::map<std::string, std::vector<int64_t>> tokens_;  // by module
  std::set<std::string> used_;                          // names in the file that are done with
  FolderBase base_;
};

bool LoraFolder::saved(const std::string& module) const {
  const auto named = [&](const std::string& path) {
    return std::any_of(options_.modules_to_save.begin(), options_.modules_to_save.end(),
                       [&](const std::string& name) { return !name.empty() && path.ends_with(name); });
  };
  return named(module) ||
         (tied_ && (module == kHead || module == kEmbedding) && (named(kHead) || named(kEmbedding)));
}

void LoraFolder::refuse_apart() const {
  const std::string mark = ".experts.";
  for (const TensorInfo& info : file_.tensors()) {
    const size_t at = info.name.find(mark);
    if (at == std::string::npos || !std::isdigit(static_cast<unsigned char>(info.name[at + mark.size()])))
      continue;
    user_error(
        "{}: \"{}\": updates of experts one by one, as transformers 4 had them, are not read; load the "
        "adapter "
        "in PEFT with transformers 5 and save it again",
        file_.path(), info.name.substr(0, 200));
  }
}

// The base's embedding and head, under the names that they have inside of PEFT's modules.
void LoraFolder::take_matrices() {
  const at::NoGradGuard no_grad;
  std::map<std::string, const TensorInfo*> base, whole;  // by module
  for (const std::string module : {kEmbedding, kHead}) {
    if (module == kHead && !model_.config().causal) continue;
    for (const char* ending : {".weight", ".base_layer.weight", ".original_module.weight",
                               ".token_adapter.base_layer.weight", ".modules_to_save.weight"}) {
      const TensorInfo* info = find(module, ending);
      if (info == nullptr) continue;
      if (info->shape.size() != 2 || info->shape[1] != model_.config().hidden || info->shape[0] < 1) {
        user_error("{}: \"{}\": expected a shape of [tokens, {}], found {}", file_.path(), info->name,
                   model_.config().hidden, shown_json(Json(info->shape)));
      }
      const std::string name = ending;
      const bool trained = saved(module) && (name == ".weight" || name == ".modules_to_save.weight");
      (trained ? whole : base)[module] = info;
      // What was trained is there twice then.
      if (!trained || name == ".modules_to_save.weight") used_.insert(info->name);
    }
  }
  for (const auto* matrices : {&base, &whole}) {
    for (const auto& [module, info] : *matrices) {
      if (info->shape[0] == model_.config().vocab) continue;
      // All of what the model has must be there in the new size.
      for (const std::string other : {kEmbedding, kHead}) {
        if (other == kHead && (model_.config().tied || !model_.config().causal)) continue;
        const auto has = [&, info = info](const auto& map) {
          return map.count(other) && map.at(other)->shape[0] == info->shape[0];
        };
        if (!has(base) && !has(whole)) {
          user_error(
              "{}: \"{}\" has {} rows, the base model {} tokens, and there is no {}.weight of {} rows; "
              "save it in PEFT with save_embedding_layers=True",
              file_.path(), info->name, info->shape[0], model_.config().vocab, other, info->shape[0]);
        }
      }
      log_info("{}: tokens were added or taken away: {} in place of the base model's {}", file_.path(),
               info->shape[0], model_.config().vocab);
      model_.resize_vocabulary(info->shape[0]);
      base_.changed = true;
    }
  }
  for (const auto& [module, info] : base) {
    Parameter* parameter = model_.find((model_.config().tied ? kEmbedding : module) + std::string(".weight"));
    const Tensor values = file_.tensor(*info).to(parameter->compute.options());
    base_.changed = base_.changed || !values.equal(parameter->compute);
    parameter->compute.copy_(values);
    base_.known.insert(module);
  }
}

// PEFT adapts, saves and trains a tied embedding and head each on its own, unless it was told to keep them
// tied; rows of tokens of the embedding are the head's too.
void LoraFolder::untie() {
  const auto adapted = [&](const char* module) {
    return find(module, ".lora_A.weight") != nullptr || find(module, ".lora_embedding_A") != nullptr;
  };
  const bool whole = saved(kEmbedding) || saved(kHead), lora = adapted(kEmbedding) || adapted(kHead);
  if (!tokens_.empty() && (whole || lora)) {
    user_error(
        "{}: trainable_token_indices: rows of tokens beside LoRA or modules_to_save on the embedding or "
        "the head are not supported",
        where_);
  }
  if (tied_ && options_.dora && adapted(kHead)) {
    user_error("{}: use_dora: lengths of a tied embedding and head (ensure_weight_tying) are not supported",
               where_);
  }
  if (!model_.config().tied || tied_) return;
  const bool own_rows =
      tokens_.count(kHead) && (!tokens_.count(kEmbedding) || tokens_[kHead] != tokens_[kEmbedding]);
  if (whole || lora || own_rows) model_.untie_head();
}

// The tensors say which modules are adapted; the config must agree unless it narrows its targets. Which of a
// mixture's weights are, it says alone.
LoraTargets LoraFolder::adapted() const {
  LoraTargets out;
  out.parameters = select_parameters(model_, options_.target_parameters, where_ + ": target_parameters");
  const auto by_weight = [&](const std::string& module) {
    const auto& p = out.parameters;
    return std::find(p.begin(), p.end(), module + ".weight") != p.end();
  };
  const std::vector<std::string> places = lora_places(model_);
  const auto is = [](const std::string& module, const char* path) { return module == path; };
  for (const std::string& module : places) {
    if (is(module, kHead) && model_.config().tied) continue;  // the embedding's update
    if (by_weight(module)) continue;
    if (find(module, is(module, kEmbedding) ? ".lora_embedding_A" : ".lora_A.weight") != nullptr)
      out.modules.push_back(module);
  }
  const bool none = !given("target_modules") && !out.parameters.empty();
  if (!none && !given("exclude_modules") && !given("layers_to_transform")) {
    const auto& among = options_.targets == "all-linear" ? model_.linear_modules() : places;
    for (const std::string& module : select_modules(among, options_.targets, where_ + ": target_modules")) {
      const auto& m = out.modules;
      if (std::find(m.begin(), m.end(), module) != m.end() || by_weight(module) || saved(module)) continue;
      if (is(module, kHead) && model_.config().tied) continue;
      user_error("{}: \"{}{}{}\" is missing, but target_modules names it", file_.path(), kPeftPrefix, module,
                 is(module, kEmbedding) ? ".lora_embedding_A" : ".lora_A.weight");
    }
  }
  if (out.modules.empty() && out.parameters.empty())
    user_error("{}: holds no LoRA tensor of a module of this model", file_.path());
  for (const std::string& module : out.modules) check_rank(module, module);
  for (const std::string& name : out.parameters) check_rank(folder_path(name, out.parameters), name);
  return out;
}

// Before anything of these sizes is made. Of experts A has the rank's rows each.
void LoraFolder::check_rank(const std::string& path, const std::string& target) const {
  const std::string ending = path == kEmbedding ? ".lora_embedding_A" : ".lora_A.weight";
  const double rank = pattern_value(options_.rank_pattern, target, static_cast<double>(options_.rank),
                                    where_ + ": rank_pattern");
  const TensorInfo* a = find(path, ending);
  if (a == nullptr) {
    user_error("{}: \"{}{}{}\" is missing, but target_parameters names it", file_.path(), kPeftPrefix, path,
               ending);
  }
  const Parameter* weight = target == path ? nullptr : lora_parameter(model_, target);
  const bool experts = weight != nullptr && weight->compute.dim() == 3;
  const double rows = experts ? rank * static_cast<double>(weight->compute.size(0)) : rank;
  if (a->shape.empty() || static_cast<double>(a->shape[0]) != rows) {
    user_error("{}: \"{}\" has shape {}, but the config's rank for it is {}{}", file_.path(), a->name,
               shown_json(Json(a->shape)), rank, experts ? " an expert" : "");
  }
}

// bias "all" or "lora_only": the base's biases were trained.
void LoraFolder::take_biases() {
  if (!given("bias") || config_["bias"] == "none") return;
  if (config_["bias"] != "all" && config_["bias"] != "lora_only") {
    user_error("{}: bias: expected \"none\", \"all\" or \"lora_only\", found {}", where_,
               shown_json(config_["bias"]));
  }
  const std::string prefix = kPeftPrefix, inside = ".base_layer.bias", bias = ".bias";
  for (const TensorInfo& info : file_.tensors()) {
    if (!info.name.starts_with(prefix) || !info.name.ends_with(bias)) continue;
    const std::string& ending = info.name.ends_with(inside) ? inside : bias;
    Parameter* parameter =
        model_.find(info.name.substr(prefix.size(), info.name.size() - prefix.size() - ending.size()) + bias);
    if (parameter == nullptr) continue;  // told when the rest is read
    if (info.shape != parameter->compute.sizes().vec()) {
      user_error("{}: \"{}\": expected shape {}, found {}", file_.path(), info.name,
                 shown_json(Json(parameter->compute.sizes().vec())), shown_json(Json(info.shape)));
    }
    base_.values.add(parameter, {}, file_.tensor(info));
    used_.insert(info.name);
  }
}

void LoraFolder::take_tokens() {
  const std::string ending = ".token_adapter.trainable_tokens_delta";
  for (const auto& [module, ids] : tokens_) {
    const TensorInfo* info = find(module, ending);
    const bool as_embedding = module == kHead && model_.config().tied;
    if (info == nullptr && as_embedding) continue;
    if (info == nullptr) user_error("{}: \"{}{}{}\" is missing", file_.path(), kPeftPrefix, module, ending);
    const std::vector<int64_t> shape = {static_cast<int64_t>(ids.size()), model_.config().hidden};
    if (info->shape != shape) {
      user_error("{}: \"{}\": expected shape {}, found {}", file_.path(), info->name, shown_json(Json(shape)),
                 shown_json(Json(info->shape)));
    }
    for (const int64_t id : ids) {
      if (id < 0 || id >= model_.config().vocab)
        user_error("{}: trainable_token_indices: id {} is outside the vocabulary of {}", where_, id,
                   model_.config().vocab);
    }
    used_.insert(info->name);
    if (as_embedding) continue;
    Parameter* parameter = model_.find(module + ".weight");
    base_.values.add(parameter, at::tensor(ids, at::kLong).to(parameter->compute.device()),
                     file_.tensor(*info));
  }
  // PEFT may write the rows of a tied head a second time.
  if (const TensorInfo* again = find(kHead, ending); again != nullptr && model_.config().tied)
    used_.insert(again->name);
}

std::unique_ptr<Adapter> LoraFolder::load() {
  tied_ = model_.config().tied && model_.config().causal && flag("ensure_weight_tying");
  tokens_ = trained_tokens(config_.value("trainable_token_indices", Json()), where_);
  refuse_apart();
  take_matrices();
  untie();
  auto adapter = std::make_unique<LoraAdapter>(model_, options_, adapted(), 0, where_);
  take_biases();
  take_tokens();
  fill_adapter_tensors(file_, file_.path(), adapter->folder_tensors(), used_);
  adapter->take_base(std::move(base_));
  adapter->refresh();
  return adapter;
}

}  // namespace

LoraOptions lora_options_from(const Json& config, const std::string& where) {
  const auto get = [&](const char* key) { return config.contains(key) ? config[key] : Json(nullptr); };
  check_config_keys(config, read_keys(), missing_features(), where);
  const Json init = get("init_lora_weights");
  if (init.is_string() && init != "gaussian" && init != "eva" && init != "orthogonal" && init != "mica") {
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
  o.target_parameters = config_strings(config, "target_parameters", where);
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
  return LoraFolder(model, folder, config).load();
}

}  // namespace temper
