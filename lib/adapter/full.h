// Every weight trains.
#pragma once

#include <memory>

#include "adapter/adapter.h"

namespace temper {

struct FullOptions : AdapterOptions {
  void fields(FieldVisitor&) override {}
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

}  // namespace temper
