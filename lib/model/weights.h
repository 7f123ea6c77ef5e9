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
#include "model/families.h"
#include "model/model.h"

namespace temper {

// One product: y = x W^T (+ bias), W the rows of its parts.
struct FusedLinear {
  at::Tensor compute;               // [sum of outs, in]; undefined when the weights are quantised
  at::Tensor bias;                  // [sum of outs] or undefined
  std::vector<Parameter*> weights;  // in row order
  std::vector<Parameter*> biases;   // empty or one a weight
  std::vector<int64_t> modules;     // index of each part in linear_modules()

  bool any() const { return !weights.empty(); }
  bool quantised() const { return !compute.defined(); }
  // x W^T (+ bias) [N, sum of outs]; gradients to x and, unless quantised, the masters.
  at::Tensor product(const at::Tensor& x) const;
  // The same without gradients, by what is fastest for the few tokens of a decoding step.
  at::Tensor decoding_product(const at::Tensor& x) const;
};

// One product an expert for rows sorted by expert, x [M, in] -> [M, out], with a weight [E, out, in] and a
// bias [E, out] or null; gradients as in FusedLinear.
at::Tensor expert_product(const Parameter* weight, const Parameter* bias, const ExpertRows& rows,
                          const at::Tensor& x);

// How the sub-layers of a pass compute.
struct PassMath {
  LinearDelta* delta = nullptr;  // or null
  bool training = false;         // dropout of adapters
  double norm_eps = 0;
  bool norms_add_one = false;
  bool decodes = false;  // behind a key/value cache: no gradients
  // The linears' products, with what delta adds to them.
  at::Tensor project(const FusedLinear& w, const at::Tensor& x) const;
  // expert_product(), with what delta adds to it.
  at::Tensor project(const Parameter* weight, const Parameter* bias, const ExpertRows& rows,
                     const at::Tensor& x) const;
  at::Tensor norm(const at::Tensor& x, const Parameter* weight) const;
  at::Tensor norm(const at::Tensor& x) const;  // without a weight
};

struct ExpertWeights {
  Parameter *router = nullptr, *router_bias = nullptr;
  Parameter* correction = nullptr;                           // see Routing
  Parameter *router_scale = nullptr, *each_scale = nullptr;  // of experts beside an MLP, as are the norms
  Parameter *after_dense = nullptr, *before = nullptr, *after = nullptr;
  Parameter *gate_up = nullptr, *gate_up_bias = nullptr;  // [E, 2 I, H], [E, 2 I]
  Parameter *down = nullptr, *down_bias = nullptr;        // [E, H, I], [E, H]
  FusedLinear shared_gate_up, shared_down, shared_gate;   // of all tokens; without weights: there is none
};

// Of a layer's own embeddings; see own_embeddings.h.
struct OwnEmbeddingWeights {
  FusedLinear gate, out;
  Parameter* after = nullptr;
};

// null: there is none.
struct BlockWeights {
  Parameter *before_attention = nullptr, *after_attention = nullptr, *before_mlp = nullptr,
            *after_mlp = nullptr;  // as in BlockNorms
  Parameter *q_norm = nullptr, *k_norm = nullptr, *sinks = nullptr;
  Parameter *query_norm = nullptr, *latent_norm = nullptr;  // of latent attention's short vectors
  FusedLinear qkv, q_up, kv_up, out;                        // q_up and kv_up: of latent attention
  FusedLinear mix_in, mix_out;  // of linear attention or a short convolution, with the next line
  Parameter *conv = nullptr, *conv_bias = nullptr, *decay = nullptr, *time_bias = nullptr,
            *mix_norm = nullptr;
  FusedLinear gate_up, down;   // of an MLP that is no expert
  ExpertWeights experts;       // of a layer with them
  OwnEmbeddingWeights own;     // where layers have embeddings of their own
  Parameter* scale = nullptr;  // of the block's result; a constant

  std::vector<Parameter*> norms() const;
  std::vector<Parameter*> others() const;  // all beside the linears
  std::vector<const FusedLinear*> linears() const;
};

class Weights {
 public:
  Weights(const ModelConfig& config, const Precision& precision);
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  std::vector<Parameter*> list();    // without the constants
  std::vector<Parameter*> stored();  // with them
  void refresh();  // compute <- master where they do not share storage and the master is here
  void untie_head();
  void resize_vocabulary(int64_t rows);

  Parameter *embedding = nullptr, *norm = nullptr;
  // Of the layers' own embeddings: [V, L P], [L P, H], [P]; null and without weights: there are none.
  Parameter *own_table = nullptr, *own_norm = nullptr;
  FusedLinear own_projection;
  Parameter *head = nullptr, *score = nullptr;  // head is embedding when tied; null: there is none
  std::vector<BlockWeights> blocks;
  std::vector<std::string> modules;

 private:
  Parameter* add(const std::string& name, const at::Tensor& compute);
  Parameter* add(const std::string& name, at::IntArrayRef shape);
  Parameter* add_quantised(const std::string& name, at::IntArrayRef shape);  // where the model is
  void add_block(const ModelConfig& config, int64_t layer, int64_t& next_module, BlockWeights& to);
  void add_experts(const ModelConfig& config, const std::string& layer, ExpertWeights& to);
  FusedLinear fuse(const std::string& prefix, const LinearParts& linear, int64_t& next_module);
  at::TensorOptions options_;
  QuantFormat quantise_;
  std::vector<std::unique_ptr<Parameter>> parameters_;
};

}  // namespace temper
