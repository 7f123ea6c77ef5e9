#include "model/weights.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/error.h"
#include "model/families.h"
#include "tensor/ops.h"

namespace temper {

Weights::Weights(const ModelConfig& config, const Precision& precision)
    : options_(at::TensorOptions().dtype(precision.compute).device(precision.device)),
      quantise_(precision.quantise) {
  const int64_t d = config.head_dim, q = config.heads * d, kv = config.kv_heads * d;
  modules = linear_module_names(config);
  int64_t next_module = 0;
  embedding = add("model.embed_tokens.weight", at::empty({config.vocab, config.hidden}, options_));
  for (int64_t l = 0; l < config.layers; ++l) {
    const std::string layer = "model.layers." + std::to_string(l) + ".";
    BlockWeights block;
    block.qkv = fuse(layer + "self_attn.", {"q_proj", "k_proj", "v_proj"}, {q, kv, kv}, config.hidden,
                     config.qkv_bias, next_module);
    block.out = fuse(layer + "self_attn.", {"o_proj"}, {config.hidden}, q, config.out_bias, next_module);
    if (config.qk_norm) {
      block.q_norm = add(layer + "self_attn.q_norm.weight", at::empty({d}, options_));
      block.k_norm = add(layer + "self_attn.k_norm.weight", at::empty({d}, options_));
    }
    block.gate_up = fuse(layer + "mlp.", {"gate_proj", "up_proj"}, {config.intermediate, config.intermediate},
                         config.hidden, config.mlp_bias, next_module);
    block.down = fuse(layer + "mlp.", {"down_proj"}, {config.hidden}, config.intermediate, config.mlp_bias,
                      next_module);
    block.input_norm = add(layer + "input_layernorm.weight", at::empty({config.hidden}, options_));
    block.post_norm = add(layer + "post_attention_layernorm.weight", at::empty({config.hidden}, options_));
    blocks.push_back(std::move(block));
  }
  norm = add("model.norm.weight", at::empty({config.hidden}, options_));
  if (config.causal) {
    head =
        config.tied ? embedding : add("lm_head.weight", at::empty({config.vocab, config.hidden}, options_));
  }
  if (config.scores > 0) score = add("score.weight", at::empty({config.scores, config.hidden}, options_));

  // The order is Hugging Face's, whatever order the storage was made in.
  const NamedShapes shapes = parameter_shapes(config);
  std::map<std::string, std::unique_ptr<Parameter>> by_name;
  for (auto& p : parameters_) by_name[p->name] = std::move(p);
  parameters_.clear();
  for (const auto& [name, shape] : shapes) {
    const auto it = by_name.find(name);
    if (it == by_name.end() || it->second->compute.sizes() != at::IntArrayRef(shape))
      bug("the decoder has no {} of that shape", name);
    parameters_.push_back(std::move(it->second));
    by_name.erase(it);
  }
  if (!by_name.empty()) bug("the family table does not list {}", by_name.begin()->first);

  std::vector<Parameter*> read = {norm, score};
  for (const BlockWeights& b : blocks)
    read.insert(read.end(), {b.input_norm, b.post_norm, b.q_norm, b.k_norm});
  for (Parameter* p : read) {
    if (p != nullptr) p->passes_read_master = true;
  }
}

Parameter* Weights::add(const std::string& name, const at::Tensor& compute) {
  parameters_.push_back(std::make_unique<Parameter>(Parameter{name, compute, compute, nullptr}));
  return parameters_.back().get();
}

FusedLinear Weights::fuse(const std::string& prefix, const std::vector<std::string>& parts,
                          const std::vector<int64_t>& outs, int64_t in, bool bias, int64_t& next_module) {
  FusedLinear fused;
  int64_t rows = 0;
  for (const int64_t out : outs) rows += out;
  if (!quantise_.on()) fused.compute = at::empty({rows, in}, options_);
  if (bias) fused.bias = at::empty({rows}, options_);
  int64_t row = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const at::Tensor compute = quantise_.on() ? at::empty({outs[i], in}, options_.device(at::kMeta))
                                              : fused.compute.narrow(0, row, outs[i]);
    fused.weights.push_back(add(prefix + parts[i] + ".weight", compute));
    if (quantise_.on())
      fused.weights.back()->quantised =
          std::make_shared<QuantisedMatrix>(quantised_shape(outs[i], in, quantise_, options_.device()));
    if (bias) fused.biases.push_back(add(prefix + parts[i] + ".bias", fused.bias.narrow(0, row, outs[i])));
    if (modules.at(next_module) != prefix + parts[i])
      bug("module {} is not {}", modules[next_module], prefix + parts[i]);
    fused.modules.push_back(next_module++);
    row += outs[i];
  }
  return fused;
}

at::Tensor FusedLinear::product(const at::Tensor& x) const {
  if (quantised()) {
    QuantisedMatrices parts;
    for (const Parameter* p : weights) parts.push_back(p->quantised);
    return quantised_linear(x, parts, bias);
  }
  const auto masters = [](const std::vector<Parameter*>& parameters) {
    std::vector<at::Tensor> out;
    for (const Parameter* p : parameters) out.push_back(p->master);
    return out;
  };
  return linear(x, compute, masters(weights), bias, masters(biases));
}

std::vector<Parameter*> Weights::list() {
  std::vector<Parameter*> out;
  for (const auto& p : parameters_) out.push_back(p.get());
  return out;
}

void Weights::untie_head() {
  if (head != embedding) return;
  const at::Tensor own = embedding->compute.detach().clone();
  const auto before = std::find_if(parameters_.begin(), parameters_.end(),
                                   [&](const auto& p) { return p.get() == norm; });  // the head is behind it
  head = parameters_
             .insert(before + 1, std::make_unique<Parameter>(Parameter{"lm_head.weight", own, own, nullptr}))
             ->get();
}

void Weights::resize_vocabulary(int64_t rows) {
  for (Parameter* p : {embedding, head}) {
    if (p == nullptr || p->compute.size(0) == rows) continue;
    const int64_t kept = std::min(rows, p->compute.size(0));
    p->compute =
        at::constant_pad_nd(p->compute.detach().narrow(0, 0, kept), {0, 0, 0, rows - kept}).contiguous();
    p->freeze();
  }
}

void Weights::refresh() {
  at::NoGradGuard guard;
  std::vector<at::Tensor> computes, masters;
  for (const auto& p : parameters_) {
    if (!p->master.requires_grad() || p->compute.scalar_type() == at::kFloat || p->master_elsewhere) continue;
    computes.push_back(p->compute);
    masters.push_back(p->master.detach());
  }
  // In few launches on an accelerator, one after the other on the CPU.
  if (!computes.empty()) at::_foreach_copy_(computes, masters);
}

}  // namespace temper
