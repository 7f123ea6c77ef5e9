#include "adapter/lora/lora.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "adapter/input_covariance.h"
#include "adapter/lora/targets.h"
#include "adapter/peft_files.h"
#include "adapter/targets.h"
#include "base/error.h"

namespace temper {

using at::Tensor;

void LoraOptions::fields(FieldVisitor& v) {
  v.field("rank", rank, {.help = "rank of the update B A", .min = 1, .max = 8192});
  v.field("alpha", alpha, {.help = "the update is scaled by alpha / rank", .min = 1e-6, .max = 1e6});
  v.field("rslora", rslora, {.help = "scale by alpha / sqrt(rank) instead"});
  v.field("dora", dora, {.help = "rows of the adapted weight have a trained length of their own (DoRA)"});
  v.field(
      "dropout", dropout,
      {.help = "share of the adapters' inputs that is dropped in training; none of embed_tokens and lm_head",
       .min = 0.0,
       .max = 0.99});
  v.field("init", init,
          {.help = "how A and B begin: at random with B A = 0, or as a part of W that is taken out of it",
           .choices = {"kaiming", "gaussian", "pissa", "olora", "corda"}});
  v.field("svd_iterations", svd_iterations,
          {.help = "pissa: power iterations of a randomised decomposition; 0: an exact one",
           .min = 0,
           .max = 64});
  v.field(
      "corda_mode", corda_mode,
      {.help =
           "corda: adapt the largest components for the samples (ipm, they are of the task) or the smallest "
           "(kpm, they are of what to keep)",
       .choices = {"ipm", "kpm"}});
  v.field(
      "corda_data", corda_data,
      {.help =
           "corda: JSONL files of its samples (text, prompt, prompt and completion, or chats); for kpm what "
           "the model knows and is to keep, such as questions and answers; none: the run's own records (ipm)",
       .path = true});
  v.field("corda_samples", corda_samples, {.help = "corda: records that it looks at", .min = 1});
  v.field("lr_ratio", lr_ratio,
          {.help = "B (and vectors) learn so many times as fast as A (LoRA+)", .min = 1e-3, .max = 1e4});
  v.field("freeze_a", freeze_a, {.help = "only B trains, and what it reads need not be kept (LoRA-FA)"});
  v.field(
      "targets", targets,
      {.help =
           "\"all-linear\" (of the blocks), an array of module names (embed_tokens and lm_head too), or a "
           "regular expression of whole module paths; of Mixtral, Qwen3-MoE, GLM-4.5 and DeepSeek-V3 they "
           "have routers and experts too: \"gate\", \"gate_proj\" and \"up_proj\", \"down_proj\" "
           "(\"w1\" and \"w3\", \"w2\")"});
  v.field(
      "target_parameters", target_parameters,
      {.help =
           "weights of a mixture by their own names, as PEFT has them: \"experts.gate_up_proj\", "
           "\"experts.down_proj\", \"gate.weight\" (gpt-oss: \"router.weight\"); targets may be [] then"});
  v.field("rank_pattern", rank_pattern, {.help = "rank by module: {\"pattern\": rank}"});
  v.field("alpha_pattern", alpha_pattern, {.help = "alpha by module: {\"pattern\": alpha}"});
  v.field("modules_to_save", modules_to_save,
          {.help = "whole modules that train too: embed_tokens, lm_head, norm ..."});
}

void LoraOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (svd_iterations != 0 && init != "pissa")
    problems.push_back(fmt::format("{}.svd_iterations: belongs to init pissa, and init is {}", where, init));
  if (init == "corda" && corda_mode == "kpm" && corda_data.empty()) {
    problems.push_back(
        where +
        ".corda_data: corda_mode kpm keeps what its samples are about, and the run's own data are "
        "what is to be learnt; name a file with samples of what the model is to keep");
  }
  if (init != "corda" && !corda_data.empty())
    problems.push_back(fmt::format("{}.corda_data: belongs to init corda, and init is {}", where, init));
  if (freeze_a && lr_ratio != 1.0)
    problems.push_back(where + ".lr_ratio: A does not learn with freeze_a; set optimizer.lr instead");
  const bool names = targets.is_array() && (!targets.empty() || !target_parameters.empty()) &&
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

void LoraOptions::train_whole(const std::vector<std::string>& modules) {
  for (const std::string& module : modules) {
    const bool there =
        std::any_of(modules_to_save.begin(), modules_to_save.end(),
                    [&](const std::string& name) { return !name.empty() && module.ends_with(name); });
    if (!there) modules_to_save.push_back(module);
  }
}

std::unique_ptr<Adapter> LoraOptions::attach(Model& model, uint64_t seed) const {
  LoraOptions options = *this;
  const LoraTargets chosen = lora_targets(model, options, "adapter");
  const auto& paths = chosen.modules;
  // As in PEFT, an update of the embedding or the head of a tied model is of that one alone.
  if (std::count(paths.begin(), paths.end(), kEmbedding) + std::count(paths.begin(), paths.end(), kHead) > 0)
    model.untie_head();
  std::erase(options.modules_to_save, "score");
  for (const std::string& name : always_saved(model)) options.modules_to_save.push_back(name);
  return std::make_unique<LoraAdapter>(model, options, chosen, seed, "adapter");
}

LoraAdapter::LoraAdapter(Model& model, const LoraOptions& options, const LoraTargets& targets, uint64_t seed,
                         const std::string& where)
    : model_(model), options_(options), saved_(model, options.modules_to_save, where + ".modules_to_save") {
  const auto chosen = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const auto& linears = model.linear_modules();
  place_.assign(linears.size(), -1);
  for (const std::string& path : lora_places(model)) {
    const std::string weight = path + ".weight";
    const bool by_weight = chosen(targets.parameters, weight);
    if (!by_weight && !chosen(targets.modules, path)) continue;
    const auto linear = std::find(linears.begin(), linears.end(), path);
    if (linear != linears.end())
      place_[static_cast<size_t>(linear - linears.begin())] = static_cast<int64_t>(modules_.size());
    modules_.push_back(module_of(path, by_weight ? weight : path, seed, where));
  }
  for (const std::string& name : targets.parameters) {
    const std::string path = folder_path(name, targets.parameters);
    if (chosen(linears, path)) continue;  // had
    modules_.push_back(module_of(path, name, seed, where));
    mixture_[modules_.back().parameter] = static_cast<int64_t>(modules_.size()) - 1;
  }
  refresh();
  if (options.dora) {
    for (LoraModule& m : modules_) m.magnitude = m.length.clone().requires_grad_(true);
    refresh();
  }
  model_.set_delta(this);
}

LoraModule LoraAdapter::module_of(const std::string& path, const std::string& target, uint64_t seed,
                                  const std::string& where) {
  LoraModule m;
  m.path = path;
  m.target = target;
  m.embedding = path == kEmbedding;
  const bool whole = m.embedding || path == kHead;
  m.parameter = target == path ? model_.find(path + ".weight") : lora_parameter(model_, target);
  const auto shape = m.parameter->compute.sizes();
  if (shape.size() == 3) m.experts = shape[0];
  const int64_t out = shape[shape.size() - 2], in = shape.back();
  if (std::count(saved_.parameters().begin(), saved_.parameters().end(), m.parameter) > 0)
    user_error("{}: \"{}\" is among targets and modules_to_save; choose one", where, path);
  if (whole) {
    if (options_.init == "corda")
      user_error("{}.init: corda reads the inputs of the blocks' linears; \"{}\" takes another", where, path);
    m.whole = std::make_shared<ComputedWeight>(m.parameter);
  }
  const auto& linears = model_.linear_modules();
  const bool mixture = !whole && std::find(linears.begin(), linears.end(), path) == linears.end();
  if (mixture) check_mixture(m, where);
  const double rank = pattern_value(options_.rank_pattern, target, static_cast<double>(options_.rank),
                                    where + ".rank_pattern");
  m.rank = static_cast<int64_t>(rank);
  if (static_cast<double>(m.rank) != rank || m.rank < 1)
    user_error("{}.rank_pattern: the rank of {} is {}; expected a whole number", where, path, rank);
  const double alpha =
      pattern_value(options_.alpha_pattern, target, options_.alpha, where + ".alpha_pattern");
  m.scale = alpha / (options_.rslora ? std::sqrt(rank) : rank);
  const bool from_weight = options_.init == "pissa" || options_.init == "olora" || options_.init == "corda";
  if (from_weight && m.rank > std::min(out, in)) {
    user_error("{}.rank: {} of {}, whose weight is {} x {}; init {} takes at most {}", where, m.rank, path,
               out, in, options_.init, std::min(out, in));
  }
  if (!whole) {
    // Of a router that computes in fp32 too.
    const bool precise =
        mixture && m.experts == 0 && model_.config().experts.router == Experts::Router::kSigmoid;
    const auto options_of_work = at::TensorOptions()
                                     .dtype(precise ? at::kFloat : model_.precision().compute)
                                     .device(model_.precision().device);
    std::vector<int64_t> a = {m.rank, in}, b = {out, m.rank};
    if (m.experts > 0) a.insert(a.begin(), m.experts), b.insert(b.begin(), m.experts);
    m.a_work = at::empty(a, options_of_work);
    m.b_work = at::empty(b, options_of_work);
  }
  const int64_t rows = m.rank * std::max<int64_t>(m.experts, 1);  // of A
  if (options_.init == "pissa") {
    take(m, pissa_start(weight(m), m.rank, m.scale, options_.svd_iterations, seed, path), true);
  } else if (options_.init == "olora") {
    take(m, olora_start(weight(m), m.rank), true);
  } else if (m.embedding) {  // normal(0, 1), as PEFT has it
    take(m, gaussian_start(out, in, m.rank, 1.0, seed, path), false);
  } else if (options_.init == "gaussian") {
    take(m, gaussian_start(out, in, rows, 1.0 / rank, seed, path), false);
  } else {
    take(m, kaiming_start(out, in, rows, seed, path), from_weight);  // corda: until start()
  }
  if (options_.dora && !whole) m.squares = weight(m).square().sum(1);
  return m;
}

Tensor LoraAdapter::weight(const LoraModule& m) const {
  return m.whole ? m.whole->base() : m.parameter->values();
}

void LoraAdapter::take(LoraModule& m, const LoraFactors& factors, bool from_weight) {
  const auto device = model_.precision().device;
  m.a = factors.a.to(device).requires_grad_(!options_.freeze_a);
  m.b = factors.b.to(device).requires_grad_(true);
  if (!from_weight) return;
  m.a0 = m.a.detach().clone();
  m.b0 = m.b.detach().clone();
  if (!m.whole) m.b0_work = at::empty(m.b0.sizes(), m.b_work.options());
}

LoraFactors LoraAdapter::whole_update(const LoraModule& m) const {
  if (!m.a0.defined()) return {m.a.detach(), m.b.detach()};
  return {at::cat({m.a.detach(), m.a0}), at::cat({m.b.detach(), -m.b0}, 1)};
}

void LoraAdapter::start(const AdapterStart& from) {
  if (options_.init != "corda") return;
  std::vector<bool> chosen;
  for (const int64_t place : place_) chosen.push_back(place >= 0);
  const auto covariance =
      input_covariance(model_, chosen, from.samples(options_.corda_data, options_.corda_samples));
  for (size_t id = 0; id < place_.size(); ++id) {
    if (place_[id] < 0) continue;
    LoraModule& m = modules_[static_cast<size_t>(place_[id])];
    const LoraFactors factors =
        corda_start(weight(m), covariance[id], m.rank, m.scale, options_.corda_mode == "ipm");
    const at::NoGradGuard no_grad;
    m.a.copy_(factors.a);
    m.b.copy_(factors.b);
    m.a0.copy_(factors.a);
    m.b0.copy_(factors.b);
  }
  groups_.clear();
  refresh();
}

// What the other starts took out of W is made again from W; CorDA's came from the data.
AdapterState LoraAdapter::state() {
  AdapterState out;
  if (options_.init != "corda") return out;
  for (const LoraModule& m : modules_) {
    out.tensors[m.path + ".a0"] = m.a0;
    out.tensors[m.path + ".b0"] = m.b0;
  }
  return out;
}

void LoraAdapter::load_state(const AdapterState& state, int64_t, const std::string& where) {
  if (options_.init != "corda") return;
  const at::NoGradGuard no_grad;
  for (LoraModule& m : modules_) {
    for (const auto& [name, to] : {std::pair(m.path + ".a0", m.a0), std::pair(m.path + ".b0", m.b0)}) {
      const auto it = state.tensors.find(name);
      if (it == state.tensors.end() || it->second.sizes() != to.sizes())
        user_error("{}: corda: has no {} of this run's shape; was the adapter changed?", where, name);
      at::Tensor(to).copy_(it->second);
    }
  }
  groups_.clear();
}

double LoraAdapter::lr_factor(const std::string& name) const {
  const bool fast = name.ends_with(".lora_B.weight") || name.ends_with(".lora_magnitude_vector");
  return fast ? options_.lr_ratio : 1.0;
}

LoraAdapter::~LoraAdapter() {
  if (model_.delta() == this) model_.set_delta(nullptr);
  for (const LoraModule& m : modules_) {
    if (m.whole) m.whole->set_enabled(false);
  }
  base_.values.set_enabled(false);
}

NamedTensors LoraAdapter::trainable() {
  NamedTensors out;
  for (const LoraModule& m : modules_) {
    const std::string path = kPeftPrefix + m.path;
    if (!options_.freeze_a)
      out.emplace_back(path + (m.embedding ? ".lora_embedding_B" : ".lora_A.weight"), m.a);
    out.emplace_back(path + (m.embedding ? ".lora_embedding_A" : ".lora_B.weight"), m.b);
    if (m.magnitude.defined()) out.emplace_back(path + ".lora_magnitude_vector", m.magnitude);
  }
  for (const Parameter* p : saved_.parameters()) out.emplace_back(p->name, p->master);
  return out;
}

// Of a row of zeros, as padding tokens have in many heads: it stays 0 (PEFT divides 0 by 0).
constexpr double kNoLength = 1e-12;

void LoraAdapter::refresh() {
  const at::NoGradGuard no_grad;
  for (LoraModule& m : modules_) {
    if (m.whole) {
      const Tensor product = this->product(m);
      if (options_.dora) m.length = product.norm(2, m.embedding ? 0 : 1).clamp_min(kNoLength);
      m.whole->set(m.magnitude.defined() ? product * factors(m) : product);
      continue;
    }
    if (m.experts > 0) {
      m.a_work.copy_(expert_a(m.a, m.experts));
      m.b_work.copy_(expert_b(m.b, m.experts));
      continue;
    }
    m.a_work.copy_(m.a);
    m.b_work.copy_(m.b * m.scale);
    if (m.b0.defined()) m.b0_work.copy_(m.b0 * -m.scale);
    if (options_.dora) {
      // |W + s B A|^2 by row, without the product B A.
      const LoraFactors update = whole_update(m);
      const Tensor wa = at::mm(weight(m), update.a.t()), aa = at::mm(update.a, update.a.t());
      const Tensor cross = (2.0 * m.scale) * wa + (m.scale * m.scale) * at::mm(update.b, aa);
      m.length = (m.squares + cross.mul_(update.b).sum(1)).clamp_min(kNoLength * kNoLength).sqrt();
    }
  }
  model_.refresh();  // modules_to_save
}

void LoraAdapter::set_enabled(bool enabled) {
  model_.set_delta(enabled ? this : nullptr);
  saved_.set_enabled(enabled);
  base_.values.set_enabled(enabled);
  for (const LoraModule& m : modules_) {
    if (m.whole) m.whole->set_enabled(enabled);
  }
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
  const Tensor product = lora_product(x, y, g.a_work, g.parts, dropout);
  return options_.dora ? with_magnitudes(g, product) : product;
}

// The rows of W + s B A scaled from their length to m: columns of the product, but for what the bias gave.
// Dropout acts on the low-rank path alone (PEFT also drops what W reads for the part that the scaling
// changes).
Tensor LoraAdapter::with_magnitudes(const LoraGroup& g, const Tensor& product) const {
  std::vector<Tensor> factors, offsets;
  int64_t column = 0;
  const auto options = product.options().dtype(at::kFloat);
  const auto untouched = [&](int64_t until) {
    factors.push_back(at::ones({until - column}, options));
    offsets.push_back(at::zeros({until - column}, options));
    column = until;
  };
  for (size_t i = 0; i < g.modules.size(); ++i) {
    const LoraModule& m = modules_[static_cast<size_t>(g.modules[i])];
    untouched(g.columns[i]);
    const Tensor factor = m.magnitude / m.length;
    const Parameter* bias = model_.find(m.path + ".bias");
    factors.push_back(factor);
    offsets.push_back(bias != nullptr ? bias->master.to(at::kFloat) * (1.0 - factor)
                                      : at::zeros({factor.size(0)}, options));
    column += factor.size(0);
  }
  untouched(g.outs);
  return (product * at::cat(factors) + at::cat(offsets)).to(product.scalar_type());
}

bool LoraAdapter::trains(int64_t module) const {
  const int64_t place = place_[static_cast<size_t>(module)];
  if (place < 0) return false;
  const LoraModule& m = modules_[static_cast<size_t>(place)];
  return m.a.requires_grad() || m.b.requires_grad();
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
      g.columns.push_back(column);
      g.parts.push_back({m.a, m.b, m.b_work, column, m.scale});
      rows.push_back(m.a_work);
    }
    column += outs[i];
  }
  g.outs = column;
  if (rows.empty()) return g;
  for (const int64_t place : g.modules) {  // behind those that train: what was taken out of W
    const LoraModule& m = modules_[static_cast<size_t>(place)];
    if (m.a0.defined()) rows.push_back(m.a0.to(m.a_work.scalar_type()));
  }
  g.a_work = at::cat(rows);
  int64_t row = 0;
  for (const int64_t place : g.modules) {
    LoraModule& m = modules_[static_cast<size_t>(place)];
    m.a_work = g.a_work.narrow(0, row, m.rank);
    row += m.rank;
  }
  for (size_t i = 0; i < g.modules.size(); ++i) {
    const LoraModule& m = modules_[static_cast<size_t>(g.modules[i])];
    if (m.a0.defined()) g.parts.push_back({m.a0, m.b0, m.b0_work, g.columns[i], -m.scale});
  }
  return g;
}

}  // namespace temper
