// (IA)3 (Liu et al. 2022, arXiv:2205.05638): a trained factor for each output of the attention's keys and
// values, y = l * (W x + bias), and for each input of the feed-forward's last linear, y = W (l * x). Files
// are PEFT's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapter/adapter.h"
#include "base/json.h"

namespace temper {

struct Ia3Options : AdapterOptions {
  Json targets = Json::array({"k_proj", "v_proj", "down_proj"});
  std::vector<std::string> feedforward = {"down_proj"};  // of the targets: those whose input is scaled
  void fields(FieldVisitor& v) override;
  bool takes_quantised_base() const override { return true; }
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

std::unique_ptr<Adapter> load_ia3(Model& model, const std::string& folder, const Json& config);

}  // namespace temper
