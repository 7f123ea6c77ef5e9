// VeRA (Kopiczko et al. 2023, arXiv:2310.11454): one random pair A [r, widest in], B [widest out, r], frozen
// and shared by all adapted linears; what trains are two vectors each: y = W x + b * (B (d * (A drop(x)))). A
// linear takes the first columns of A and the first rows of B. Files are PEFT's, with A and B in them
// (save_projection).
#pragma once

#include <memory>
#include <string>

#include "adapter/adapter.h"
#include "base/json.h"

namespace temper {

struct VeraOptions : AdapterOptions {
  int64_t rank = 256;
  double d_initial = 0.1, dropout = 0.0;
  Json targets = "all-linear";
  void fields(FieldVisitor& v) override;
  bool takes_quantised_base() const override { return true; }
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

std::unique_ptr<Adapter> load_vera(Model& model, const std::string& folder, const Json& config);

}  // namespace temper
