#include "adapter/lora/increlora.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "adapter/lora/lora.h"
#include "adapter/lora/targets.h"
#include "adapter/peft_files.h"
#include "adapter/saved_modules.h"
#include "adapter/targets.h"
#include "base/error.h"
#include "base/random.h"
#include "tensor/ops.h"

namespace temper {
namespace {

using at::Tensor;

constexpr double kReserve = 1e-5;  // e of a component in reserve

// [1, in], [out, 1], [1].
struct Component {
  Tensor a, b, e;
  int64_t since = 0;  // the update from which on it counts
};

struct Grown {
  std::string path;
  int64_t out = 0, in = 0;
  std::vector<Component> parts;  // the last one is the reserve
  Tensor delta, work;            // dW: an fp32 leaf that receives dL/ddW, and its copy in the compute dtype
  double importance = 0, uncertainty = 0;
  int64_t rank() const { return static_cast<int64_t>(parts.size()) - 1; }
  double score() const { return importance * uncertainty; }
};

class IncreLoraAdapter : public Adapter, public LinearDelta {
 public:
  IncreLoraAdapter(Model& model, const IncreLoraOptions& options, uint64_t seed)
      : model_(model), options_(options), saved_(model, always_saved(model), "adapter"), seed_(seed) {
    const auto& all = model.linear_modules();
    const auto paths = select_modules(all, options.targets, "adapter.targets");
    for (const std::string& path : all) {
      const bool chosen = std::find(paths.begin(), paths.end(), path) != paths.end();
      place_.push_back(chosen ? static_cast<int64_t>(modules_.size()) : -1);
      if (!chosen) continue;
      const Tensor& weight = model.find(path + ".weight")->compute;
      Grown m{path, weight.size(0), weight.size(1), {}, {}, {}};
      const auto options_of = [&](at::ScalarType type) {
        return at::TensorOptions().dtype(type).device(model.precision().device);
      };
      m.delta = at::zeros({m.out, m.in}, options_of(at::kFloat)).requires_grad_(true);
      m.work = at::empty({m.out, m.in}, options_of(model.precision().compute));
      while (m.rank() < options.rank) add_reserve(m);
      for (Component& c : m.parts) c.e.requires_grad_(&c != &m.parts.back());
      for (int64_t k = 0; k < m.rank(); ++k) at::Tensor(m.parts[k].e).detach().zero_();
      modules_.push_back(std::move(m));
    }
    refresh();
    model_.set_delta(this);
  }
  ~IncreLoraAdapter() override {
    if (model_.delta() == this) model_.set_delta(nullptr);
  }

  std::vector<std::pair<std::string, Tensor>> trainable() override {
    std::vector<std::pair<std::string, Tensor>> out;
    for (Grown& m : modules_) {
      for (size_t k = 0; k < m.parts.size(); ++k) {
        out.emplace_back(name(m, "lora_A", k), m.parts[k].a);
        out.emplace_back(name(m, "lora_B", k), m.parts[k].b);
        if (k + 1 < m.parts.size()) out.emplace_back(name(m, "lora_E", k), m.parts[k].e);
      }
    }
    for (const Parameter* p : saved_.parameters()) out.emplace_back(p->name, p->master);
    return out;
  }

  void refresh() override {
    const at::NoGradGuard no_grad;
    for (Grown& m : modules_) {
      m.delta.copy_(at::mm(b_of(m), a_of(m) * e_of(m).unsqueeze(1)).mul_(scale()));
      m.work.copy_(m.delta);
    }
    model_.refresh();
  }

  Tensor apply(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs, const Tensor& x,
               const Tensor& y, bool) override {
    std::vector<Tensor> updates;
    bool any = false;
    for (size_t i = 0; i < modules.size(); ++i) {
      const int64_t place = place_[static_cast<size_t>(modules[i])];
      any = any || place >= 0;
      const Grown* m = place < 0 ? nullptr : &modules_[static_cast<size_t>(place)];
      updates.push_back(m == nullptr ? at::zeros({x.size(0), outs[i]}, y.options())
                                     : linear(x, m->work, std::vector<Tensor>{m->delta}));
    }
    return any ? y + at::cat(updates, 1) : y;
  }
  bool trains(int64_t module) const override { return place_[static_cast<size_t>(module)] >= 0; }

  // ---- growth

  void begin_update(int64_t update, TrainingRun& run) override {
    update_ = update;
    if (update == 0 || update < options_.warmup || (update - options_.warmup) % options_.interval != 0)
      return;
    const auto budget = static_cast<int64_t>(options_.target * static_cast<double>(modules_.size()));
    std::vector<size_t> order(modules_.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t i, size_t j) { return modules_[i].score() > modules_[j].score(); });
    int64_t room = std::min(options_.top, budget - total_rank());
    for (size_t i = 0; i < order.size() && room > 0; ++i, --room) {
      Grown& m = modules_[order[i]];
      const auto chosen = static_cast<size_t>(m.rank());
      m.parts[chosen].e.requires_grad_(true);
      m.parts[chosen].since = update;
      add_reserve(m);
      run.add(name(m, "lora_E", chosen));
      run.add(name(m, "lora_A", chosen + 1));
      run.add(name(m, "lora_B", chosen + 1));
    }
    refresh();
  }

  Tensor penalty() override {
    if (options_.orthogonal == 0) return {};
    std::vector<Tensor> norms;
    for (Grown& m : modules_) {
      const Tensor a = a_of(m), b = b_of(m), identity = at::eye(a.size(0), a.options());
      norms.push_back((at::mm(a, a.t()) - identity).norm());
      norms.push_back((at::mm(b.t(), b) - identity).norm());
    }
    return options_.orthogonal * at::stack(norms).mean();
  }

  // dL/ddW is complete: the scores, and the chain rule down to the components.
  std::vector<Tensor> gradient_carriers() const override {
    std::vector<Tensor> out;
    for (const Grown& m : modules_) out.push_back(m.delta);
    return out;
  }

  void end_backward() override {
    const at::NoGradGuard no_grad;
    for (Grown& m : modules_) {
      if (!m.delta.grad().defined()) continue;
      const double s = (m.delta * m.delta.grad()).abs().sum(at::kDouble).item<double>() /
                       std::sqrt(static_cast<double>(m.delta.numel()));
      if (std::isfinite(s)) {
        const double keep = options_.smoothing;
        m.importance = keep * m.importance + (1 - keep) * s;
        m.uncertainty = keep * m.uncertainty + (1 - keep) * std::abs(s - m.importance);
      }
      const Tensor g = m.delta.grad() * scale(), a = a_of(m), b = b_of(m), e = e_of(m);
      const Tensor gb = at::mm(b.t(), g);  // [r, in]
      const Tensor da = gb * e.unsqueeze(1), db = at::mm(g, (a * e.unsqueeze(1)).t()), de = (gb * a).sum(1);
      for (size_t k = 0; k < m.parts.size(); ++k) {
        const auto i = static_cast<int64_t>(k);
        add_gradient(m.parts[k].a, da.narrow(0, i, 1));
        add_gradient(m.parts[k].b, db.narrow(1, i, 1));
        if (m.parts[k].e.requires_grad()) add_gradient(m.parts[k].e, de.narrow(0, i, 1));
      }
      m.delta.mutable_grad() = Tensor();
    }
  }

  double lr_factor(const std::string& name) const override {
    for (const Grown& m : modules_) {
      if (!name.starts_with(kPeftPrefix + m.path + ".lora_")) continue;
      const auto k = static_cast<size_t>(std::stol(name.substr(name.rfind('.') + 1)));
      const Component& c = m.parts[k];
      if (c.since == 0 || options_.growth_warmup == 0) return 1.0;
      return std::min(
          1.0, static_cast<double>(update_ - c.since + 1) / static_cast<double>(options_.growth_warmup));
    }
    return 1.0;
  }
  bool lr_factors_change() const override { return true; }

  AdapterState state() override {
    Json json = Json::array();
    for (const Grown& m : modules_) {
      Json since = Json::array();
      for (const Component& c : m.parts) since.push_back(c.since);
      json.push_back({{"since", since}, {"importance", m.importance}, {"uncertainty", m.uncertainty}});
    }
    return {{{"modules", json}}, {}};
  }

  void load_state(const AdapterState& state, int64_t updates, const std::string& where) override {
    struct Stored {
      double importance, uncertainty;
      std::vector<int64_t> since;
    };
    std::vector<Stored> all;
    try {
      for (const Json& json : state.json.at("modules"))
        all.push_back({json.at("importance").get<double>(), json.at("uncertainty").get<double>(),
                       json.at("since").get<std::vector<int64_t>>()});
    } catch (const Json::exception& e) {
      user_error("{}: not a state of increlora: {}", where, e.what());
    }
    if (all.size() != modules_.size())
      user_error("{}: increlora: expected the state of {} linears, found {}; were adapter.targets changed?",
                 where, modules_.size(), all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      const Stored& stored = all[i];
      if (!std::isfinite(stored.importance) || !std::isfinite(stored.uncertainty) ||
          stored.since.size() < modules_[i].parts.size() ||
          std::any_of(stored.since.begin(), stored.since.end(),
                      [&](int64_t s) { return s < 0 || s > updates; }))
        user_error("{}: increlora: a value is out of its range", where);
    }
    for (size_t i = 0; i < modules_.size(); ++i) {
      Grown& m = modules_[i];
      m.importance = all[i].importance;
      m.uncertainty = all[i].uncertainty;
      const std::vector<int64_t>& since = all[i].since;
      while (m.parts.size() < since.size()) add_reserve(m);
      for (size_t k = 0; k < since.size(); ++k) {
        m.parts[k].since = since[k];
        m.parts[k].e.requires_grad_(k + 1 < since.size());
      }
    }
    update_ = updates;
  }

  // ---- the rest

  bool can_switch_off() const override { return true; }
  void set_enabled(bool enabled) override {
    model_.set_delta(enabled ? this : nullptr);
    saved_.set_enabled(enabled);
  }
  void merge() override {
    const at::NoGradGuard no_grad;
    for (const Grown& m : modules_) {
      Parameter* weight = model_.find(m.path + ".weight");
      const LoraFactors f = factors(m);
      weight->assign(at::addmm(weight->values(), f.b, f.a, 1.0, scale()));
    }
    model_.set_delta(nullptr);
  }
  void save(const std::string& folder, at::ScalarType) override {
    LoraOptions options;
    std::vector<std::string> targets;
    NamedTensors tensors;
    options.rank = 0;
    for (const Grown& m : modules_) options.rank = std::max(options.rank, m.rank());
    options.alpha = scale() * static_cast<double>(options.rank);
    for (const Grown& m : modules_) {
      const LoraFactors f = factors(m);
      tensors.emplace_back(kPeftPrefix + m.path + ".lora_A.weight", f.a);
      tensors.emplace_back(kPeftPrefix + m.path + ".lora_B.weight", f.b);
      targets.push_back(peft_target(model_.config(), m.path));
      if (m.rank() == options.rank) continue;
      options.rank_pattern[targets.back()] = m.rank();
      options.alpha_pattern[targets.back()] = scale() * static_cast<double>(m.rank());
    }
    const bool causal = model_.config().causal;
    for (auto& saved : saved_.folder_tensors(causal)) tensors.push_back(std::move(saved));
    if (!causal) options.modules_to_save = saved_.names();
    name_targets(model_, targets, options);
    save_adapter(folder, tensors, lora_config_json(options, base_model_, false, causal));
  }

 private:
  static std::string name(const Grown& m, const char* part, size_t k) {
    return fmt::format("{}{}.{}.{}", kPeftPrefix, m.path, part, k);
  }
  double scale() const { return options_.alpha / options_.target; }
  int64_t total_rank() const {
    int64_t sum = 0;
    for (const Grown& m : modules_) sum += m.rank();
    return sum;
  }

  void add_reserve(Grown& m) {
    const auto device = model_.precision().device;
    RandomStream stream(seed_, "init.increlora." + m.path, m.parts.size());
    const auto normal = [&](std::vector<int64_t> shape) {
      Tensor out = at::empty(shape, at::kFloat);
      float* values = out.mutable_data_ptr<float>();
      for (int64_t i = 0; i < out.numel(); ++i) values[i] = static_cast<float>(0.02 * stream.normal());
      return out.to(device).requires_grad_(true);
    };
    Component c;
    c.a = normal({1, m.in});
    c.b = normal({m.out, 1});
    c.e = at::full({1}, kReserve, c.a.options().requires_grad(false));
    m.parts.push_back(std::move(c));
  }

  static std::vector<Tensor> all(const Grown& m, Tensor Component::*part) {
    std::vector<Tensor> out;
    for (const Component& c : m.parts) out.push_back(c.*part);
    return out;
  }
  static Tensor a_of(const Grown& m) { return at::cat(all(m, &Component::a)); }
  static Tensor b_of(const Grown& m) { return at::cat(all(m, &Component::b), 1); }
  static Tensor e_of(const Grown& m) { return at::cat(all(m, &Component::e)); }
  // A with E in it, and B, without the reserve.
  static LoraFactors factors(const Grown& m) {
    const at::NoGradGuard no_grad;
    const Tensor a = a_of(m) * e_of(m).unsqueeze(1);
    return {a.narrow(0, 0, m.rank()).contiguous(), b_of(m).narrow(1, 0, m.rank()).contiguous()};
  }
  static void add_gradient(const Tensor& to, const Tensor& gradient) {
    Tensor& own = to.mutable_grad();
    own = own.defined() ? own + gradient : gradient.contiguous();
  }

  Model& model_;
  IncreLoraOptions options_;
  SavedModules saved_;
  std::vector<Grown> modules_;
  std::vector<int64_t> place_;  // by LinearDelta's module id: place in modules_, or -1
  uint64_t seed_;
  int64_t update_ = 0;
};

}  // namespace

void IncreLoraOptions::fields(FieldVisitor& v) {
  v.field("rank", rank, {.help = "rank of every linear at the start", .min = 1, .max = 1024});
  v.field("target", target, {.help = "average rank at which growth ends", .min = 1, .max = 1024});
  v.field("top", top, {.help = "linears that gain a rank at a time", .min = 1});
  v.field("warmup", warmup, {.help = "updates before the first growth", .unit = "updates", .min = 1});
  v.field("interval", interval, {.help = "updates from one growth to the next", .unit = "updates", .min = 1});
  v.field("growth_warmup", growth_warmup,
          {.help = "updates over which a new component's learning rate rises", .unit = "updates", .min = 0});
  v.field("alpha", alpha, {.help = "the update is scaled by alpha / target", .min = 1e-6, .max = 1e6});
  v.field("orthogonal", orthogonal,
          {.help = "weight of the penalty that keeps components orthogonal", .min = 0});
  v.field("smoothing", smoothing,
          {.help = "share of the old value in the means of the score", .min = 0, .max = 0.9999});
  v.field(
      "targets", targets,
      {.help = "\"all-linear\", an array of module names, or a regular expression of whole module paths"});
}

void IncreLoraOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (target < static_cast<double>(rank))
    problems.push_back(
        fmt::format("{}.target: {} is below the rank {} that every linear starts with", where, target, rank));
}

std::unique_ptr<Adapter> IncreLoraOptions::attach(Model& model, uint64_t seed) const {
  return std::make_unique<IncreLoraAdapter>(model, *this, seed);
}

}  // namespace temper
