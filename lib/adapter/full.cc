#include "adapter/full.h"

#include <ATen/ATen.h>

#include "adapter/layers.h"
#include "adapter/targets.h"
#include "base/error.h"

namespace temper {

FullAdapter::FullAdapter(Model& model, const std::function<bool(const std::string&)>& trains)
    : model_(model) {
  model_.set_trainable(trains);
  for (Parameter* p : model_.parameters()) {
    if (trains(p->name)) parameters_.push_back(p);
  }
}

std::vector<std::pair<std::string, at::Tensor>> FullAdapter::trainable() {
  std::vector<std::pair<std::string, at::Tensor>> out;
  for (const Parameter* p : parameters_) out.emplace_back(p->name, p->master);
  return out;
}

void FullAdapter::set_enabled(bool enabled) {
  if (!enabled) bug("a model whose own weights train has no base to switch to");
}

std::unique_ptr<Adapter> FullOptions::attach(Model& model, uint64_t) const {
  return std::make_unique<FullAdapter>(model, [](const std::string&) { return true; });
}

void FreezeOptions::fields(FieldVisitor& v) {
  v.field("blocks", blocks, {.help = "so many of the last blocks train", .unit = "blocks", .min = 0});
  v.field("names", names,
          {.help = "a regular expression; parameters whose whole name it matches train, too"});
}

void FreezeOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (blocks == 0 && names.empty())
    problems.push_back(where + ": nothing trains; set blocks, or names such as \".*\\\\.self_attn\\\\..*\"");
}

std::unique_ptr<Adapter> FreezeOptions::attach(Model& model, uint64_t) const {
  const int64_t layers = model.config().layers;
  if (blocks > layers) user_error("adapter.blocks: expected at most {}, found {}", layers, blocks);
  const WholeMatch match(names, "adapter.names");
  const auto named = [&](const std::string& name) { return !names.empty() && match(name); };
  bool found = names.empty();
  for (const Parameter* p : model.parameters()) found = found || named(p->name);
  if (!found) {
    user_error("adapter.names: no parameter is called \"{}\"; there are {} ... {}", names.substr(0, 200),
               model.parameters().front()->name, model.parameters().back()->name);
  }
  return std::make_unique<FullAdapter>(model, [&](const std::string& name) {
    return (blocks > 0 && layer_of(name) >= layers - blocks) || named(name) || name == "score.weight";
  });
}

}  // namespace temper
