#include "adapter/adapter_set.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "adapter/lora/lora.h"
#include "adapter/lora/targets.h"
#include "adapter/peft_files.h"
#include "adapter/targets.h"
#include "base/error.h"
#include "base/file.h"
#include "model/generation.h"

namespace temper {

std::vector<AdapterEntry> adapter_entries(const std::vector<std::string>& texts) {
  std::vector<AdapterEntry> out;
  for (const std::string& text : texts) {
    AdapterEntry entry;
    entry.folder = text;
    // A folder of just this name has neither.
    if (!fs::exists(text)) {
      const size_t at = text.rfind('@');
      if (at != std::string::npos) {
        const std::string weight = text.substr(at + 1);
        char* end = nullptr;
        entry.weight = std::strtod(weight.c_str(), &end);
        if (weight.empty() || *end != '\0' || !std::isfinite(entry.weight))
          user_error("{}: expected a number behind @, found \"{}\"", text, weight);
        entry.folder = text.substr(0, at);
      }
      const size_t equals = entry.folder.find('=');
      if (equals != std::string::npos && !fs::exists(entry.folder)) {
        entry.name = entry.folder.substr(0, equals);
        entry.folder = entry.folder.substr(equals + 1);
      }
    }
    out.push_back(std::move(entry));
  }
  // Folders without a name have that of their last part or, like A/final and B/final, their whole path.
  const auto last_part = [](const AdapterEntry& entry) {
    const fs::path path(entry.folder);
    return (path.has_filename() ? path : path.parent_path()).filename().string();
  };
  std::map<std::string, int> same;
  for (const AdapterEntry& entry : out) ++same[entry.name.empty() ? last_part(entry) : entry.name];
  std::set<std::string> names;
  for (size_t i = 0; i < out.size(); ++i) {
    AdapterEntry& entry = out[i];
    if (entry.name.empty()) entry.name = same[last_part(entry)] == 1 ? last_part(entry) : entry.folder;
    if (!names.insert(entry.name).second)
      user_error("{}: there is an adapter \"{}\" already; call it otherwise: NAME={}", texts[i], entry.name,
                 entry.folder);
  }
  return out;
}

std::vector<int64_t> end_ids_of(const std::vector<AdapterEntry>& entries) {
  std::vector<int64_t> out;
  for (const AdapterEntry& entry : entries) out = join_ids(out, stored_end_ids(entry.folder));
  return out;
}

bool has_tokenizer(const std::string& folder) {
  return fs::exists(folder + "/tokenizer.json") || fs::exists(folder + "/tokenizer.model");
}

std::string tokenizer_folder(const std::string& model, const std::vector<std::string>& adapters) {
  const auto entries = adapter_entries(adapters);
  return entries.size() == 1 && has_tokenizer(entries[0].folder) ? entries[0].folder : model;
}

AdapterSet::AdapterSet(Model& model, const std::vector<AdapterEntry>& entries) : model_(model) {
  std::vector<std::pair<std::string, double>> weights;
  for (const AdapterEntry& entry : entries) {
    add(entry.name, entry.folder);
    weights.emplace_back(entry.name, entry.weight);
  }
  use(weights);
}

void AdapterSet::add(const std::string& name, const std::string& folder) {
  for (const auto& [other, adapter] : adapters_) {
    if (other == name) user_error("{}: there is an adapter \"{}\" already", folder, name);
  }
  const int64_t vocab = model_.config().vocab;
  const bool tied = model_.config().tied;
  std::unique_ptr<Adapter> adapter = load_adapter(model_, folder);
  if (!plain_ && (vocab != model_.config().vocab || tied != model_.config().tied)) {
    user_error(
        "{}: changes the base's vocabulary or unties its head, which an adapter before it holds; name it "
        "first",
        folder);
  }
  adapter->set_enabled(false);
  const auto* lora = dynamic_cast<LoraAdapter*>(adapter.get());
  plain_ = plain_ && (lora == nullptr || lora->alone());
  adapters_.emplace_back(name, std::move(adapter));
}

bool AdapterSet::remove(const std::string& name) {
  return std::erase_if(adapters_, [&](const auto& held) { return held.first == name; }) > 0;
}

AdapterSet::~AdapterSet() {
  if (model_.delta() == this) model_.set_delta(nullptr);
}

Adapter& AdapterSet::find(const std::string& name) const {
  std::string known;
  for (const auto& [other, adapter] : adapters_) {
    if (other == name) return *adapter;
    known += (known.empty() ? "" : ", ") + other;
  }
  user_error("there is no adapter \"{}\"; there are: {}", name, known.empty() ? "none" : known);
}

void AdapterSet::use(const std::string& name) {
  use(name.empty() ? std::vector<std::pair<std::string, double>>{}
                   : std::vector<std::pair<std::string, double>>{{name, 1.0}});
}

void AdapterSet::use(const std::vector<std::pair<std::string, double>>& weights) {
  for (const auto& [name, adapter] : adapters_) adapter->set_enabled(false);
  active_.clear();
  if (weights.size() == 1 && weights[0].second == 1.0) return find(weights[0].first).set_enabled(true);
  for (const auto& [name, weight] : weights) {
    const auto* lora = dynamic_cast<LoraAdapter*>(&find(name));
    if (lora == nullptr || !lora->alone())
      user_error(
          "adapter \"{}\": only LoRA on weights of the blocks, without whole modules, can be weighted or "
          "added to another",
          name);
    active_.emplace_back(const_cast<LoraAdapter*>(lora), weight);
  }
  model_.set_delta(active_.empty() ? nullptr : this);
}

at::Tensor AdapterSet::apply(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs,
                             const at::Tensor& x, const at::Tensor& y, bool training) {
  at::Tensor out = y;
  for (const auto& [delta, weight] : active_)
    out = out + weight * (delta->apply(modules, outs, x, y.clone(), training) - y);
  return out;
}

at::Tensor AdapterSet::apply_mixture(const Parameter* mixture, const ExpertRows* rows, const at::Tensor& x,
                                     const at::Tensor& y) {
  at::Tensor out = y;
  for (const auto& [delta, weight] : active_)
    out = out + weight * (delta->apply_mixture(mixture, rows, x, y.clone()) - y);
  return out;
}

namespace {

// What the update at `path` of a folder stands on: a module, or one of its target_parameters, by whole name.
std::string target_at(const std::string& path, const std::vector<std::string>& parameters) {
  const std::string inner = ".base_layer";
  const auto named = [&](const std::string& name) {
    return std::any_of(parameters.begin(), parameters.end(),
                       [&](const std::string& entry) { return path_ends_with(name, entry); });
  };
  if (path.ends_with(".experts" + inner)) return path.substr(0, path.size() - inner.size()) + ".gate_up_proj";
  if (path.ends_with(".experts")) return path + (named(path + ".down_proj") ? ".down_proj" : ".gate_up_proj");
  if (named(path + ".weight")) return path + ".weight";
  return path;
}

}  // namespace

void combine_adapters(const std::vector<AdapterEntry>& entries, const std::string& to) {
  struct Parts {
    std::vector<at::Tensor> a, b;  // [E, r, in], [out, r, E]: E is 1 but of experts
    int64_t rank = 0;
    bool parameter = false;
  };
  std::map<std::string, Parts> all;  // by what they stand on
  std::vector<std::string> order;
  std::string base;
  for (const AdapterEntry& entry : entries) {
    const std::string where = entry.folder + "/adapter_config.json";
    if (!fs::exists(where))
      user_error("{}: not an adapter folder: there is no adapter_config.json in it", entry.folder);
    const Json config = read_json_file(where);
    if (!config.is_object() || config.value("peft_type", Json()) != "LORA")
      user_error("{}: only LoRA folders can be combined", where);
    const LoraOptions options = lora_options_from(config, where);
    if (options.dora || !options.modules_to_save.empty())
      user_error("{}: {} is no sum of low-rank updates and cannot be combined", where,
                 options.dora ? "DoRA" : "an adapter with whole modules");
    if (base.empty() && config.value("base_model_name_or_path", Json()).is_string())
      base = config["base_model_name_or_path"].get<std::string>();
    const SafetensorsFile file = open_adapter_tensors(entry.folder);
    for (const TensorInfo& info : file.tensors()) {
      const std::string ending = ".lora_A.weight", prefix = kPeftPrefix;
      if (info.name.ends_with(".lora_B.weight")) continue;
      if (!info.name.starts_with(prefix) || !info.name.ends_with(ending))
        user_error("{}: \"{}\" is no low-rank update of a linear and cannot be combined", file.path(),
                   info.name.substr(0, 200));
      const std::string path =
          info.name.substr(prefix.size(), info.name.size() - prefix.size() - ending.size());
      const TensorInfo* second = file.find(prefix + path + ".lora_B.weight");
      if (second == nullptr) user_error("{}: \"{}{}.lora_B.weight\" is missing", file.path(), prefix, path);
      const std::string target = target_at(path, options.target_parameters);
      const bool experts = target.ends_with("_proj") && target != path;
      const at::Tensor a = file.tensor(info).to(at::kFloat), b = file.tensor(*second).to(at::kFloat);
      const double rank = experts ? pattern_value(options.rank_pattern, target,
                                                  static_cast<double>(options.rank), where + ": rank_pattern")
                                  : static_cast<double>(a.size(0));
      const auto r = static_cast<int64_t>(rank);
      if (a.dim() != 2 || b.dim() != 2 || r < 1 || a.size(0) % r != 0 || b.size(1) != a.size(0))
        user_error("{}: \"{}\": A {} and B {} are no update of rank {}", file.path(), info.name,
                   shown_json(Json(info.shape)), shown_json(Json(second->shape)), rank);
      const int64_t count = a.size(0) / r;
      const double alpha =
          pattern_value(options.alpha_pattern, target, options.alpha, where + ": alpha_pattern");
      const double scale = entry.weight * alpha / (options.rslora ? std::sqrt(rank) : rank);
      Parts& parts = all[target];
      if (parts.a.empty()) order.push_back(target);
      if (!parts.a.empty() &&
          (parts.a[0].size(0) != count || parts.a[0].size(2) != a.size(1) || parts.b[0].size(0) != b.size(0)))
        user_error("{}: \"{}\" has other sizes than in {}; are they of one base model?", file.path(),
                   info.name, entries[0].folder);
      parts.a.push_back(a.view({count, r, a.size(1)}));
      parts.b.push_back((b * scale).view({b.size(0), r, count}));
      parts.rank += r;
      parts.parameter = target != path;
    }
  }
  NamedTensors tensors;
  LoraOptions options;
  options.rank = 1;
  std::vector<std::string> modules;
  for (const std::string& target : order) {
    const Parts& parts = all[target];
    options.rank = std::max(options.rank, parts.rank);
    (parts.parameter ? options.target_parameters : modules).push_back(target);
  }
  for (const std::string& target : order) {
    const Parts& parts = all[target];
    const std::string path =
        kPeftPrefix + (parts.parameter ? folder_path(target, options.target_parameters) : target);
    tensors.emplace_back(path + ".lora_A.weight", at::cat(parts.a, 1).flatten(0, 1));
    tensors.emplace_back(path + ".lora_B.weight", at::cat(parts.b, 1).flatten(1, 2));
    if (parts.rank == options.rank) continue;
    options.rank_pattern[target] = parts.rank;
    options.alpha_pattern[target] = parts.rank;
  }
  // The scale is in B: alpha is the rank, for each of them.
  options.alpha = static_cast<double>(options.rank);
  options.targets = Json(modules);
  save_adapter(to, tensors, lora_config_json(options, base, false, true));
  if (const auto ids = end_ids_of(entries); !ids.empty()) write_end_ids(to, "", ids);
}

}  // namespace temper
