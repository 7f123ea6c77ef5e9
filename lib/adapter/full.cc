#include "adapter/full.h"

#include <ATen/ATen.h>

#include "base/error.h"

namespace temper {
namespace {

class FullAdapter : public Adapter {
 public:
  explicit FullAdapter(Model& model) : model_(model) {
    model_.set_trainable([](const std::string&) { return true; });
  }
  std::vector<std::pair<std::string, at::Tensor>> trainable() override {
    std::vector<std::pair<std::string, at::Tensor>> out;
    for (const Parameter* p : model_.parameters()) out.emplace_back(p->name, p->master);
    return out;
  }
  void refresh() override { model_.refresh(); }
  bool can_switch_off() const override { return false; }
  void set_enabled(bool enabled) override {
    if (!enabled) bug("a fully trained model has no base to switch to");
  }
  void save(const std::string& folder, at::ScalarType dtype) override { model_.save(folder, dtype); }
  void merge() override {}

 private:
  Model& model_;
};

}  // namespace

std::unique_ptr<Adapter> FullOptions::attach(Model& model, uint64_t) const {
  return std::make_unique<FullAdapter>(model);
}

}  // namespace temper
