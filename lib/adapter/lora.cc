#include "adapter/lora.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "adapter/lora_product.h"
#include "adapter/targets.h"
#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "tensor/safetensors.h"

namespace temper {

using at::Tensor;

void LoraOptions::fields(FieldVisitor& v) {
  v.field("rank", rank, {.help = "rank of the update B A", .min = 1, .max = 8192});
  v.field("alpha", alpha, {.help = "the update is scaled by alpha / rank", .min = 1e-6, .max = 1e6});
  v.field("rslora", rslora, {.help = "scale by alpha / sqrt(rank) instead"});
  v.field("dropout", dropout,
          {.help = "share of the adapters' inputs that is dropped in training", .min = 0.0, .max = 0.99});
  v.field(
      "targets", targets,
      {.help = "\"all-linear\", an array of module names, or a regular expression of whole module paths"});
  v.field("rank_pattern", rank_pattern, {.help = "rank by module: {\"pattern\": rank}"});
  v.field("alpha_pattern", alpha_pattern, {.help = "alpha by module: {\"pattern\": alpha}"});
  v.field("modules_to_save", modules_to_save,
          {.help = "whole modules that train too: embed_tokens, lm_head, norm ..."});
}

void LoraOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  const bool names = targets.is_array() && !targets.empty() &&
                     std::all_of(targets.begin(), targets.end(), [](const Json& t) { return t.is_string(); });
  if (!targets.is_string() && !names) {
    problems.push_back(where +
                       ".targets: expected \"all-linear\", an array of module names or a regular expression");
  }
  for (const auto& [name, patterns] :
       {std::pair("rank_pattern", &rank_pattern), std::pair("alpha_pattern", &alpha_pattern)}) {
    if (!patterns->is_object()) {
      problems.push_back(fmt::format("{}.{}: expected an object of numbers by pattern", where, name));
      continue;
    }
    try {
      pattern_value(*patterns, "", 1.0, where + "." + name);
    } catch (const UserError& e) {
      problems.push_back(e.what());
    }
  }
}

std::unique_ptr<Adapter> LoraOptions::attach(Model& model, uint64_t seed) const {
  const auto paths = select_modules(model.linear_modules(), targets, "adapter.targets");
  LoraOptions options = *this;
  // A score head always trains, as PEFT's task_type SEQ_CLS has it: a fresh one says nothing yet.
  std::erase(options.modules_to_save, "score");
  if (model.config().scores > 0) options.modules_to_save.push_back("score");
  return std::make_unique<LoraAdapter>(model, options, paths, seed, "adapter");
}

LoraAdapter::LoraAdapter(Model& model, const LoraOptions& options, const std::vector<std::string>& paths,
                         uint64_t seed, const std::string& where)
    : model_(model), options_(options), saved_(model, options.modules_to_save, where + ".modules_to_save") {
  const auto& all = model.linear_modules();
  place_.assign(all.size(), -1);
  for (size_t i = 0; i < all.size(); ++i) {
    if (std::find(paths.begin(), paths.end(), all[i]) == paths.end()) continue;
    const Parameter* weight = model.find(all[i] + ".weight");
    const int64_t out = weight->compute.size(0), in = weight->compute.size(1);
    LoraModule m;
    m.path = all[i];
    const double rank = pattern_value(options.rank_pattern, m.path, static_cast<double>(options.rank),
                                      where + ".rank_pattern");
    m.rank = static_cast<int64_t>(rank);
    if (static_cast<double>(m.rank) != rank || m.rank < 1) {
      user_error("{}.rank_pattern: the rank of {} is {}; expected a whole number", where, m.path, rank);
    }
    const double alpha =
        pattern_value(options.alpha_pattern, m.path, options.alpha, where + ".alpha_pattern");
    m.scale = alpha / (options.rslora ? std::sqrt(rank) : rank);
    // kaiming_uniform(a = sqrt 5), as torch.nn.Linear and PEFT: uniform within 1 / sqrt(in).
    m.a = at::empty({m.rank, in}, at::kFloat);
    RandomStream stream(seed, "init." + m.path + ".lora_A");
    const double bound = 1.0 / std::sqrt(static_cast<double>(in));
    float* values = m.a.mutable_data_ptr<float>();
    for (int64_t k = 0; k < m.a.numel(); ++k)
      values[k] = static_cast<float>((2.0 * stream.uniform() - 1.0) * bound);
    const auto device = model.precision().device;
    m.a = m.a.to(device).requires_grad_(true);
    m.b = at::zeros({out, m.rank}, at::TensorOptions().dtype(at::kFloat).device(device)).requires_grad_(true);
    m.a_work = at::empty({m.rank, in}, at::TensorOptions().dtype(model.precision().compute).device(device));
    m.b_work = at::empty({out, m.rank}, m.a_work.options());
    place_[i] = static_cast<int64_t>(modules_.size());
    modules_.push_back(std::move(m));
  }
  refresh();
  model_.set_delta(this);
}

LoraAdapter::~LoraAdapter() {
  if (model_.delta() == this) model_.set_delta(nullptr);
}

std::vector<std::pair<std::string, Tensor>> LoraAdapter::trainable() {
  std::vector<std::pair<std::string, Tensor>> out;
  for (const LoraModule& m : modules_) {
    out.emplace_back("base_model.model." + m.path + ".lora_A.weight", m.a);
    out.emplace_back("base_model.model." + m.path + ".lora_B.weight", m.b);
  }
  for (const Parameter* p : saved_.parameters()) out.emplace_back(p->name, p->master);
  return out;
}

std::vector<std::pair<std::string, Tensor>> LoraAdapter::tensors() const {
  std::vector<std::pair<std::string, Tensor>> out;
  for (const LoraModule& m : modules_) {
    out.emplace_back("base_model.model." + m.path + ".lora_A.weight", m.a.detach());
    out.emplace_back("base_model.model." + m.path + ".lora_B.weight", m.b.detach());
  }
  for (auto& saved : saved_.tensors()) out.push_back(std::move(saved));
  return out;
}

void LoraAdapter::refresh() {
  const at::NoGradGuard no_grad;
  for (LoraModule& m : modules_) {
    m.a_work.copy_(m.a);
    m.b_work.copy_(m.b * m.scale);
  }
  model_.refresh();  // modules_to_save
}

void LoraAdapter::set_enabled(bool enabled) {
  model_.set_delta(enabled ? this : nullptr);
  saved_.set_enabled(enabled);
}

void LoraAdapter::set_step(uint64_t seed, uint64_t step, uint64_t micro_batch) {
  seed_ = seed;
  step_ = step;
  micro_batch_ = micro_batch;
}

Tensor LoraAdapter::apply(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs,
                          const Tensor& x, const Tensor& y, bool training) {
  const LoraGroup& g = group(modules, outs);
  if (g.parts.empty()) return y;
  Dropout dropout;
  if (training && options_.dropout > 0) {
    dropout = {options_.dropout, seed_, step_,
               micro_batch_ * place_.size() + static_cast<uint64_t>(modules[0])};
  }
  return lora_product(x, y, g.a_work, g.parts, dropout);
}

const LoraGroup& LoraAdapter::group(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs) {
  const auto known = groups_.find(modules[0]);
  if (known != groups_.end()) return known->second;
  const at::NoGradGuard no_grad;
  LoraGroup& g = groups_[modules[0]];
  std::vector<Tensor> rows;
  int64_t column = 0;
  for (size_t i = 0; i < modules.size(); ++i) {
    const int64_t place = place_[static_cast<size_t>(modules[i])];
    if (place >= 0) {
      const LoraModule& m = modules_[static_cast<size_t>(place)];
      g.modules.push_back(place);
      g.parts.push_back({m.a, m.b, m.b_work, column, m.scale});
      rows.push_back(m.a_work);
    }
    column += outs[i];
  }
  if (rows.empty()) return g;
  g.a_work = at::cat(rows);
  int64_t row = 0;
  for (const int64_t place : g.modules) {
    LoraModule& m = modules_[static_cast<size_t>(place)];
    m.a_work = g.a_work.narrow(0, row, m.rank);
    row += m.rank;
  }
  return g;
}

void LoraAdapter::merge() {
  const at::NoGradGuard no_grad;
  set_enabled(true);
  for (const LoraModule& m : modules_) {
    Parameter* weight = model_.find(m.path + ".weight");
    weight->compute.copy_(at::addmm(weight->compute.to(at::kFloat), m.b, m.a, 1.0, m.scale));
  }
  model_.set_delta(nullptr);
}

void LoraAdapter::save(const std::string& folder, at::ScalarType) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) user_error("{}: cannot create the folder: {}", folder, error.message());
  std::vector<std::string> chosen;
  for (const LoraModule& m : modules_) chosen.push_back(m.path);
  // A regular expression is kept as the user wrote it; names are what PEFT writes for "all-linear" too.
  const bool regex = options_.targets.is_string() && options_.targets != "all-linear" &&
                     select_modules(model_.linear_modules(), options_.targets, folder) == chosen;
  const Json targets = regex ? options_.targets : Json(short_names(model_.linear_modules(), chosen));
  NamedTensors written = tensors();
  LoraOptions options = options_;
  const bool causal = model_.config().causal;
  if (causal) {  // a critic's head is no part of the policy
    std::erase(options.modules_to_save, "score");
    std::erase_if(written, [](const auto& named) { return named.first == "base_model.model.score.weight"; });
  }
  write_safetensors(folder + "/adapter_model.safetensors", written);
  const Json config = lora_config_json(options, targets, base_model_, saved_.trains_tied_head(), causal);
  write_file_atomic(folder + "/adapter_config.json", config.dump(2) + "\n");
}

}  // namespace temper
