// The storage of a model's weights. Weights that share their input lie one after the other in one matrix, so
// that q, k and v, and gate and up, are one product each; every parameter is still its own tensor by its own
// name.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/model.h"

namespace temper {

// One product: y = x W^T (+ bias), W the rows of its parts.
struct FusedLinear {
  at::Tensor compute;               // [sum of outs, in]; undefined when the weights are quantised
  at::Tensor bias;                  // [sum of outs] or undefined
  std::vector<Parameter*> weights;  // in row order
  std::vector<Parameter*> biases;   // empty or one a weight
  std::vector<int64_t> modules;     // index of each part in linear_modules()

  bool quantised() const { return !compute.defined(); }
  // x W^T (+ bias) [N, sum of outs]; gradients to x and, unless quantised, the masters.
  at::Tensor product(const at::Tensor& x) const;
};

struct BlockWeights {
  Parameter *input_norm = nullptr, *post_norm = nullptr, *q_norm = nullptr,
            *k_norm = nullptr;  // q/k: qwen3 only
  FusedLinear qkv, out, gate_up, down;
};

class Weights {
 public:
  Weights(const ModelConfig& config, const Precision& precision);
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  std::vector<Parameter*> list();
  void refresh();  // compute <- master where they do not share storage and the master is here
  void untie_head();
  void resize_vocabulary(int64_t rows);

  Parameter *embedding = nullptr, *norm = nullptr;
  Parameter *head = nullptr, *score = nullptr;  // head is embedding when tied; null: there is none
  std::vector<BlockWeights> blocks;
  std::vector<std::string> modules;

 private:
  Parameter* add(const std::string& name, const at::Tensor& compute);
  FusedLinear fuse(const std::string& prefix, const std::vector<std::string>& parts,
                   const std::vector<int64_t>& outs, int64_t in, bool bias, int64_t& next_module);
  at::TensorOptions options_;
  QuantFormat quantise_;
  std::vector<std::unique_ptr<Parameter>> parameters_;
};

}  // namespace temper
