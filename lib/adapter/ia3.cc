#include "adapter/ia3.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "adapter/linear_vectors.h"
#include "adapter/peft_files.h"
#include "adapter/targets.h"
#include "base/error.h"

namespace temper {
namespace {

using at::Tensor;

class Ia3Adapter : public LinearVectors {
 public:
  Ia3Adapter(Model& model, const Ia3Options& options, const std::vector<std::string>& paths,
             const std::string& where)
      : LinearVectors(model, paths), feedforward_(options.feedforward) {
    for (const std::string& path : paths) {
      const int64_t out = base_weight(path).size(0), in = base_weight(path).size(1);
      const auto ends_so = [&](const char* name) { return path_ends_with(path, name); };
      const auto alone = {"o_proj", "down_proj", "out_proj", "w2"};
      if (scales_input(path) && std::none_of(alone.begin(), alone.end(), ends_so)) {
        user_error(
            "{}: the input of {} is that of its neighbours too (q, k, v; gate, up) and cannot be scaled for "
            "it alone; "
            "expected o_proj or down_proj (of LFM2: out_proj or w2)",
            where, path);
      }
      add(path + ".ia3_l", scales_input(path) ? at::ones({1, in}) : at::ones({out, 1}));
    }
    model_.set_delta(this);
  }

  Tensor input(const std::vector<int64_t>& modules, const Tensor& x) override {
    const std::string* path = path_of(modules[0]);
    if (path == nullptr || !scales_input(*path)) return x;
    return (x * vector(*path + ".ia3_l")).to(x.scalar_type());
  }

  Tensor apply(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs, const Tensor&,
               const Tensor& y, bool) override {
    std::vector<Tensor> factors;
    bool scaled = false;
    for (size_t i = 0; i < modules.size(); ++i) {
      const std::string* path = path_of(modules[i]);
      const bool own = path != nullptr && !scales_input(*path);
      scaled = scaled || own;
      factors.push_back(own ? vector(*path + ".ia3_l").squeeze(1)
                            : at::ones({outs[i]}, y.options().dtype(at::kFloat)));
    }
    return scaled ? (y * at::cat(factors)).to(y.scalar_type()) : y;
  }

  void merge() override {
    const at::NoGradGuard no_grad;
    for (const std::string& path : paths()) {
      const Tensor& l = vector(path + ".ia3_l");
      Parameter *weight = model_.find(path + ".weight"), *bias = model_.find(path + ".bias");
      weight->assign(weight->values() * l);
      if (bias != nullptr && !scales_input(path)) bias->assign(bias->values() * l.squeeze(1));
    }
    model_.set_delta(nullptr);
  }

 protected:
  Json config() const override {
    Json j;
    j["auto_mapping"] = nullptr;
    j["exclude_modules"] = nullptr;
    j["fan_in_fan_out"] = false;
    j["feedforward_modules"] = feedforward_;
    j["init_ia3_weights"] = true;
    j["peft_type"] = "IA3";
    j["target_modules"] = short_names(model_.linear_modules(), paths());
    return j;
  }

 private:
  bool scales_input(const std::string& path) const {
    return std::any_of(feedforward_.begin(), feedforward_.end(),
                       [&](const std::string& name) { return path_ends_with(path, name); });
  }
  std::vector<std::string> feedforward_;
};

}  // namespace

void Ia3Options::fields(FieldVisitor& v) {
  v.field(
      "targets", targets,
      {.help = "\"all-linear\", an array of module names, or a regular expression of whole module paths"});
  v.field("feedforward", feedforward,
          {.help = "those of the targets whose input is scaled, not their output"});
}

std::unique_ptr<Adapter> Ia3Options::attach(Model& model, uint64_t) const {
  const auto paths = select_modules(model.linear_modules(), targets, "adapter.targets");
  return std::make_unique<Ia3Adapter>(model, *this, paths, "adapter.feedforward");
}

std::unique_ptr<Adapter> load_ia3(Model& model, const std::string& folder, const Json& config) {
  const std::string where = folder + "/adapter_config.json";
  check_config_keys(config, {"target_modules", "feedforward_modules", "init_ia3_weights", "modules_to_save"},
                    {{"exclude_modules", nullptr}, {"fan_in_fan_out", false}}, where);
  check_plain_linears(config, where);
  Ia3Options options;
  options.feedforward = config_strings(config, "feedforward_modules", where);
  const auto paths = select_modules(model.linear_modules(), config.value("target_modules", Json()),
                                    where + ": target_modules");
  auto adapter = std::make_unique<Ia3Adapter>(model, options, paths, where + ": feedforward_modules");
  fill_adapter_tensors(open_adapter_tensors(folder), folder + "/adapter_model.safetensors",
                       adapter->tensors());
  return adapter;
}

}  // namespace temper
