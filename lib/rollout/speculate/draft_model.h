// Speculative decoding with a second, smaller model (Leviathan et al. 2022, arXiv 2211.17192).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rollout/speculate/drafting.h"

namespace temper {

struct DraftModelOptions : DraftingOptions {
  std::string model;  // a folder
  // What is in the folder, once it has been read; or a model that a caller has already.
  mutable std::shared_ptr<Model> loaded;
  void fields(FieldVisitor& v) override;
  // The folder is read by the first call, in the dtype and on the device of the scene's model.
  std::unique_ptr<Speculator> begin(const SpeculationScene& scene) const override;
};

}  // namespace temper
