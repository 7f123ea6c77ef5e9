// A model of each family that is small enough to decode in no time.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <memory>
#include <string>

#include "model/model.h"

namespace temper {

inline ModelConfig tiny_config(const std::string& family) {
  ModelConfig c;
  c.family = family;
  c.vocab = 40, c.hidden = 32, c.intermediate = 48, c.layers = 2, c.heads = 4, c.kv_heads = 2, c.head_dim = 8;
  c.max_positions = 300;
  c.tied = family == "llama";
  if (family == "qwen3") c.qk_norm = QkNorm::kHead;
  c.qkv_bias = family == "qwen2";
  if (family == "mistral") c.sliding_window = 6;
  return c;
}

// Random weights, large enough that what comes next depends on what came before.
inline std::unique_ptr<Model> tiny_model(const std::string& family, const std::string& dtype = "f32",
                                         const std::string& device = "cpu") {
  auto model = Model::initialise(tiny_config(family), make_precision(dtype, device), 5);
  at::NoGradGuard guard;
  for (Parameter* p : model->parameters()) {
    if (p->compute.dim() == 2) p->compute.mul_(p->name.find("embed") != std::string::npos ? 30 : 12);
  }
  return model;
}

}  // namespace temper
