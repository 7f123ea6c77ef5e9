// The model's own weights train: all of them, or chosen ones.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapter/adapter.h"

namespace temper {

struct FullOptions : AdapterOptions {
  void fields(FieldVisitor&) override {}
  void train_whole(const std::vector<std::string>&) override {}  // all does
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

// The last blocks, or parameters by name. A score head always trains: a fresh one says nothing yet.
struct FreezeOptions : AdapterOptions {
  int64_t blocks = 0;
  std::string names;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  void train_whole(const std::vector<std::string>&) override {}  // what trains is said by name
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

class FullAdapter : public Adapter {
 public:
  // Trains the chosen parameters and freezes the rest.
  FullAdapter(Model& model, const std::function<bool(const std::string& name)>& trains);
  std::vector<std::pair<std::string, at::Tensor>> trainable() override;
  void refresh() override { model_.refresh(); }
  bool can_switch_off() const override { return false; }
  void set_enabled(bool enabled) override;
  void save(const std::string& folder, at::ScalarType dtype) override { model_.save(folder, dtype); }
  void merge() override {}

 protected:
  Model& model_;
  std::vector<Parameter*> parameters_;  // of trainable()
};

}  // namespace temper
