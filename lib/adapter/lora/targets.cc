#include "adapter/lora/targets.h"

#include <algorithm>
#include <map>
#include <set>

#include "adapter/peft_files.h"
#include "adapter/targets.h"
#include "base/error.h"
#include "model/families.h"

namespace temper {
namespace {

const std::string kWeight = ".weight";

bool has(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// The names that routers and experts have where they are linears in the files and PEFT takes them for such:
// its mappings "mixtral" and "qwen2_moe". null: it does not.
const Family::ExpertFiles* named_as_linears(const ModelConfig& config) {
  static const std::set<std::string> families = {"deepseek_v3", "glm4_moe", "mixtral", "qwen3_moe"};
  return families.count(config.family) ? family_of(config).expert_files : nullptr;
}

// gpt-oss calls its router otherwise.
std::string router_name(const ModelConfig& config) {
  const Family::ExpertFiles* files = family_of(config).expert_files;
  return (files != nullptr && files->gate == nullptr ? files->router : kRouter) + kWeight;
}

std::string replaced_end(const std::string& name, const std::string& end, const std::string& by) {
  return name.substr(0, name.size() - end.size()) + by;
}

// Routers and experts as the linears that they are in the files: their paths (of all experts alike), and the
// parameters by PEFT's names.
std::vector<std::pair<std::string, std::string>> linears_of_mixture(Model& model) {
  std::vector<std::pair<std::string, std::string>> out;
  const Family::ExpertFiles* files = named_as_linears(model.config());
  if (files == nullptr) return out;
  for (const std::string& name : lora_parameters(model)) {
    if (name.ends_with(kRouter + kWeight)) out.emplace_back(replaced_end(name, kWeight, ""), name);
    for (const auto& [end, matrix] :
         {std::pair(kExpertsGateUp, files->gate), {kExpertsGateUp, files->up}, {kExpertsDown, files->down}}) {
      if (name.ends_with(end)) out.emplace_back(name.substr(0, name.rfind('.') + 1) + matrix, name);
    }
  }
  return out;
}

// "mlp.gate.weight" says what "weight" does not.
std::string short_parameter(const std::string& name) {
  size_t dot = name.rfind('.');
  if (name.ends_with(kWeight)) dot = name.rfind('.', dot - 1);
  return name.substr(dot + 1);
}

}  // namespace

std::vector<std::string> lora_places(const Model& model) {
  std::vector<std::string> out = {kEmbedding};
  out.insert(out.end(), model.linear_modules().begin(), model.linear_modules().end());
  if (model.config().causal) out.push_back(kHead);
  return out;
}

std::vector<std::string> lora_parameters(Model& model) {
  std::vector<std::string> out;
  for (const Parameter* p : model.parameters()) {
    if (p->name.ends_with(kRouter + kWeight))
      out.push_back(replaced_end(p->name, kRouter + kWeight, router_name(model.config())));
    else if (p->name.ends_with(kExpertsGateUp) || p->name.ends_with(kExpertsDown) ||
             (p->name.ends_with(kWeight) && has(model.linear_modules(), replaced_end(p->name, kWeight, ""))))
      out.push_back(p->name);
  }
  return out;
}

Parameter* lora_parameter(Model& model, const std::string& name) {
  const std::string router = router_name(model.config());
  return model.find(name.ends_with("." + router) ? replaced_end(name, router, kRouter + kWeight) : name);
}

std::vector<std::string> select_parameters(Model& model, const std::vector<std::string>& entries,
                                           const std::string& where) {
  if (entries.empty()) return {};
  const std::vector<std::string> all = lora_parameters(model);
  std::vector<bool> chosen(all.size(), false);
  for (const std::string& entry : entries) {
    bool found = false;
    for (size_t i = 0; i < all.size(); ++i) {
      if (path_ends_with(all[i], entry)) chosen[i] = found = true;
    }
    if (found) continue;
    std::set<std::string> known;
    for (const std::string& name : all) known.insert(short_parameter(name));
    std::string names;
    for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
    user_error("{}: no weight of a router, of experts or of a linear is called \"{}\"; there are {}", where,
               entry.substr(0, 200), names);
  }
  std::vector<std::string> out;
  for (size_t i = 0; i < all.size(); ++i) {
    if (chosen[i]) out.push_back(all[i]);
  }
  return out;
}

LoraTargets lora_targets(Model& model, LoraOptions& options, const std::string& where) {
  LoraTargets out;
  out.parameters = select_parameters(model, options.target_parameters, where + ".target_parameters");
  if (options.targets.is_array() && options.targets.empty()) return out;
  const auto mixture = linears_of_mixture(model);
  std::vector<std::string> all =
      options.targets == "all-linear" ? model.linear_modules() : lora_places(model);
  for (const auto& [path, name] : mixture) all.push_back(path);
  const auto chosen = select_modules(all, options.targets, where + ".targets");
  for (const std::string& path : lora_places(model)) {
    if (has(chosen, path)) out.modules.push_back(path);
  }
  std::map<std::string, int> matrices;  // of gate and up
  for (const auto& [path, name] : mixture) {
    if (!has(chosen, path)) continue;
    if (!has(out.parameters, name)) out.parameters.push_back(name);
    if (name.ends_with(kExpertsGateUp)) ++matrices[name];
  }
  for (const auto& [name, count] : matrices) {
    const Family::ExpertFiles& files = *named_as_linears(model.config());
    if (count == 1) {
      user_error(
          "{}.targets: the experts' {} and {} are one tensor; name both or neither (of a dense layer or "
          "shared experts alone: \"mlp.{}\", \"shared_experts.{}\")",
          where, files.gate, files.up, files.gate, files.gate);
    }
  }
  if (!matrices.empty()) {
    const std::string pattern = R"(.*\.gate_up_proj)";
    if (!options.rank_pattern.contains(pattern)) options.rank_pattern[pattern] = 2 * options.rank;
    if (!options.alpha_pattern.contains(pattern))
      options.alpha_pattern[pattern] = whole_or_number(2 * options.alpha);
  }
  return out;
}

std::string peft_target(const ModelConfig& config, const std::string& path) {
  const Family::ExpertFiles* files = named_as_linears(config);
  const std::string last = path.substr(path.rfind('.') + 1);
  const bool taken = files != nullptr && (last == files->gate || last == files->up || last == files->down);
  return taken ? path + kWeight : path;
}

void name_targets(Model& model, const std::vector<std::string>& targets, LoraOptions& options) {
  const std::vector<std::string> places = lora_places(model), all = lora_parameters(model);
  std::vector<std::string> modules;
  options.target_parameters.clear();
  for (const std::string& target : targets) {
    if (has(places, target)) {
      modules.push_back(target);
      continue;
    }
    const std::string end = short_parameter(target);
    const bool alike = std::all_of(all.begin(), all.end(), [&](const std::string& name) {
      return !path_ends_with(name, end) || has(targets, name);
    });
    const std::string& name = alike ? end : target;
    if (!has(options.target_parameters, name)) options.target_parameters.push_back(name);
  }
  options.targets = Json(short_names(places, modules));
}

}  // namespace temper
