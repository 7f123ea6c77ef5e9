#include "adapter/vera.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "adapter/linear_vectors.h"
#include "adapter/lora/init.h"
#include "adapter/lora/product.h"
#include "adapter/peft_files.h"
#include "adapter/targets.h"
#include "base/error.h"
#include "tensor/ops.h"

namespace temper {
namespace {

using at::Tensor;

class VeraAdapter : public LinearVectors {
 public:
  VeraAdapter(Model& model, const VeraOptions& options, const std::vector<std::string>& paths, uint64_t seed)
      : LinearVectors(model, paths), options_(options) {
    int64_t in = 0, out = 0;
    for (const std::string& path : paths) {
      in = std::max(in, base_weight(path).size(1));
      out = std::max(out, base_weight(path).size(0));
    }
    // Both kaiming-uniform, as PEFT draws them: within sqrt(6 / columns).
    const auto uniform = [&](int64_t rows, int64_t columns, const std::string& name) {
      return (kaiming_start(1, columns, rows, seed, name).a * std::sqrt(6.0)).to(model.precision().device);
    };
    a_ = uniform(options.rank, in, "vera_A");
    b_ = uniform(out, options.rank, "vera_B");
    for (const std::string& path : paths) {
      add(path + ".vera_lambda_b", at::zeros({base_weight(path).size(0)}));
      add(path + ".vera_lambda_d", at::full({options.rank}, options.d_initial));
    }
    model_.set_delta(this);
  }

  NamedTensors tensors() const override {
    NamedTensors out = LinearVectors::tensors();
    out.emplace_back("base_model.vera_A", a_);
    out.emplace_back("base_model.vera_B", b_);
    return out;
  }

  void refresh() override {
    LinearVectors::refresh();
    a_work_ = a_.to(model_.precision().compute);
    b_work_ = b_.to(model_.precision().compute);
  }

  Tensor apply(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs, const Tensor& x,
               const Tensor& y, bool training) override {
    if (!any(modules)) return y;
    Tensor read = x;
    if (training && options_.dropout > 0) {
      const Dropout dropout{
          options_.dropout, seed_, step_,
          micro_batch_ * model_.linear_modules().size() + static_cast<uint64_t>(modules[0])};
      read = x * dropout_mask(dropout, x.size(0), x.size(1), x.options());
    }
    const Tensor h = frozen(read, a_work_.narrow(1, 0, x.size(1)));  // one for all of them
    std::vector<Tensor> updates;
    for (size_t i = 0; i < modules.size(); ++i) {
      const std::string* path = path_of(modules[i]);
      if (path == nullptr) {
        updates.push_back(at::zeros({y.size(0), outs[i]}, y.options()));
        continue;
      }
      const auto type = y.scalar_type();
      const Tensor d = vector(*path + ".vera_lambda_d").to(type),
                   b = vector(*path + ".vera_lambda_b").to(type);
      updates.push_back(frozen(h * d, b_work_.narrow(0, 0, outs[i])) * b);
    }
    return y + at::cat(updates, 1);
  }

  void merge() override {
    add_update(1.0);
    model_.set_delta(nullptr);
  }
  void unmerge() override { add_update(-1.0); }

 protected:
  static Tensor frozen(const Tensor& x, const Tensor& weight) {
    return linear(x, weight, std::vector<Tensor>{weight});
  }
  void add_update(double sign) {
    const at::NoGradGuard no_grad;
    for (const std::string& path : paths()) {
      Parameter* weight = model_.find(path + ".weight");
      const Tensor b =
          b_.narrow(0, 0, weight->compute.size(0)) * vector(path + ".vera_lambda_b").unsqueeze(1);
      const Tensor a =
          a_.narrow(1, 0, weight->compute.size(1)) * vector(path + ".vera_lambda_d").unsqueeze(1);
      weight->assign(at::addmm(weight->values(), b, a, 1.0, sign));
    }
  }

  Json config() const override {
    Json j;
    j["auto_mapping"] = nullptr;
    j["bias"] = "none";
    j["d_initial"] = options_.d_initial;
    j["fan_in_fan_out"] = false;
    j["init_weights"] = true;
    j["layers_pattern"] = nullptr;
    j["layers_to_transform"] = nullptr;
    j["peft_type"] = "VERA";
    j["projection_prng_key"] = 0;  // says nothing: the projections are in the file
    j["r"] = options_.rank;
    j["save_projection"] = true;
    j["target_modules"] = short_names(model_.linear_modules(), paths());
    j["vera_dropout"] = options_.dropout;
    return j;
  }

 private:
  VeraOptions options_;
  Tensor a_, b_, a_work_, b_work_;
};

}  // namespace

void VeraOptions::fields(FieldVisitor& v) {
  v.field("rank", rank, {.help = "rank of the shared random pair", .min = 1, .max = 8192});
  v.field("d_initial", d_initial, {.help = "where the vector between the two begins"});
  v.field("dropout", dropout,
          {.help = "share of the adapters' inputs that is dropped in training", .min = 0.0, .max = 0.99});
  v.field(
      "targets", targets,
      {.help = "\"all-linear\", an array of module names, or a regular expression of whole module paths"});
}

std::unique_ptr<Adapter> VeraOptions::attach(Model& model, uint64_t seed) const {
  auto adapter = std::make_unique<VeraAdapter>(
      model, *this, select_modules(model.linear_modules(), targets, "adapter.targets"), seed);
  adapter->refresh();
  return adapter;
}

std::unique_ptr<Adapter> load_vera(Model& model, const std::string& folder, const Json& config) {
  const std::string where = folder + "/adapter_config.json";
  if (config.contains("save_projection") && config["save_projection"] == false) {
    user_error(
        "{}: save_projection is false: the random projections are not in the folder, and only torch draws "
        "the same "
        "again; save it in PEFT with save_projection true",
        where);
  }
  check_config_keys(config,
                    {"r", "target_modules", "vera_dropout", "d_initial", "save_projection",
                     "projection_prng_key", "init_weights", "modules_to_save"},
                    {{"bias", "none"},
                     {"fan_in_fan_out", false},
                     {"layers_to_transform", nullptr},
                     {"layers_pattern", nullptr}},
                    where);
  check_plain_linears(config, where);
  VeraOptions options;
  options.rank = static_cast<int64_t>(config_number(config, "r", 256, 1, 8192, where));
  options.dropout = config_number(config, "vera_dropout", 0, 0, 0.99, where);
  options.d_initial = config_number(config, "d_initial", 0.1, -1e6, 1e6, where);
  const auto paths = select_modules(model.linear_modules(), config.value("target_modules", Json()),
                                    where + ": target_modules");
  auto adapter = std::make_unique<VeraAdapter>(model, options, paths, 0);
  fill_adapter_tensors(open_adapter_tensors(folder), folder + "/adapter_model.safetensors",
                       adapter->tensors());
  adapter->refresh();
  return adapter;
}

}  // namespace temper
