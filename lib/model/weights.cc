#include "model/weights.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/error.h"
#include "model/families.h"
#include "tensor/experts/experts.h"
#include "tensor/ops.h"

namespace temper {

Weights::Weights(const ModelConfig& config, const Precision& precision)
    : options_(at::TensorOptions().dtype(precision.compute).device(precision.device)),
      quantise_(precision.quantise) {
  const BlockNorms& norms = family_of(config).norms;
  const BlockLinears linears = block_linears(config);
  modules = linear_module_names(config);
  int64_t next_module = 0;
  embedding = add("model.embed_tokens.weight", {config.vocab, config.hidden});
  for (int64_t l = 0; l < config.layers; ++l) {
    const std::string layer = "model.layers." + std::to_string(l) + ".";
    const auto norm_of = [&](const char* name, int64_t width) {
      return name == nullptr ? nullptr : add(layer + name + ".weight", {width});
    };
    BlockWeights block;
    if (config.recurrent(l))
      add_mix(config, layer, linears, next_module, block);
    else
      add_attention(config, layer, linears, next_module, block);
    if (config.sparse(l)) {
      add_experts(config, layer, linears, next_module, block.experts);
    } else {
      block.gate_up = fuse(layer, linears.gate_up, config.hidden, config.mlp_bias, next_module);
      block.down = fuse(layer, linears.down, config.intermediate, config.mlp_bias, next_module);
    }
    block.before_attention = norm_of(norms.before_attention, config.hidden);
    block.after_attention = norm_of(norms.after_attention, config.hidden);
    block.before_mlp = norm_of(norms.before_mlp, config.hidden);
    block.after_mlp = norm_of(norms.after_mlp, config.hidden);
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
  for (const BlockWeights& b : blocks) {
    const std::vector<Parameter*> norms_of_it = b.norms();
    read.insert(read.end(), norms_of_it.begin(), norms_of_it.end());
    read.insert(read.end(), {b.sinks, b.conv, b.decay, b.time_bias});
  }
  for (Parameter* p : read) {
    if (p != nullptr) p->passes_read_master = true;
  }
}

std::vector<Parameter*> BlockWeights::norms() const {
  std::vector<Parameter*> out = {before_attention, after_attention, before_mlp,  after_mlp, q_norm,
                                 k_norm,           query_norm,      latent_norm, mix_norm};
  std::erase(out, nullptr);
  return out;
}

std::vector<Parameter*> BlockWeights::others() const {
  std::vector<Parameter*> out = norms();
  const ExpertWeights& e = experts;
  for (Parameter* p : {sinks, conv, decay, time_bias, e.router, e.router_bias, e.gate_up, e.gate_up_bias,
                       e.down, e.down_bias})
    if (p != nullptr) out.push_back(p);
  return out;
}

std::vector<const FusedLinear*> BlockWeights::linears() const {
  std::vector<const FusedLinear*> out;
  for (const FusedLinear* w : {&qkv, &q_up, &kv_up, &this->out, &mix_in, &mix_out, &gate_up, &down,
                               &experts.shared_gate_up, &experts.shared_down})
    if (!w->weights.empty()) out.push_back(w);
  return out;
}

void Weights::add_attention(const ModelConfig& config, const std::string& layer, const BlockLinears& linears,
                            int64_t& next_module, BlockWeights& to) {
  const int64_t d = config.head_dim, q = config.heads * d, kv = config.kv_heads * d;
  const Latent& latent = config.latent;
  to.qkv = fuse(layer, linears.qkv, config.hidden, config.qkv_bias, next_module);
  if (latent.query_rank > 0) {
    to.q_up = fuse(layer, linears.q_up, latent.query_rank, false, next_module);
    to.query_norm = add(layer + "self_attn.q_a_layernorm.weight", {latent.query_rank});
  }
  if (latent.rank > 0) {
    to.kv_up = fuse(layer, linears.kv_up, latent.rank, false, next_module);
    to.latent_norm = add(layer + "self_attn.kv_a_layernorm.weight", {latent.rank});
  }
  to.out = fuse(layer, linears.out, config.heads * config.value_dim(), config.out_bias, next_module);
  if (config.qk_norm != QkNorm::kNone) {
    const bool whole = config.qk_norm == QkNorm::kWhole;
    to.q_norm = add(layer + "self_attn.q_norm.weight", {whole ? q : d});
    to.k_norm = add(layer + "self_attn.k_norm.weight", {whole ? kv : d});
  }
  if (config.sinks) to.sinks = add(layer + "self_attn.sinks", {config.heads});
}

void Weights::add_mix(const ModelConfig& config, const std::string& layer, const BlockLinears& linears,
                      int64_t& next_module, BlockWeights& to) {
  const LinearAttention& l = config.linear;
  const std::string at = layer + "linear_attn.";
  to.mix_in = fuse(layer, linears.mix_in, config.hidden, false, next_module);
  to.conv = add(at + "conv1d.weight", {l.channels(), 1, l.kernel});
  to.decay = add(at + "A_log", {l.value_heads});
  to.time_bias = add(at + "dt_bias", {l.value_heads});
  to.mix_norm = add(at + "norm.weight", {l.value_dim});
  to.mix_out = fuse(layer, linears.mix_out, l.value_heads * l.value_dim, false, next_module);
}

void Weights::add_experts(const ModelConfig& config, const std::string& layer, const BlockLinears& linears,
                          int64_t& next_module, ExpertWeights& to) {
  const Experts& e = config.experts;
  const std::string router = layer + kRouter, gate_up = layer + kExpertsGateUp, down = layer + kExpertsDown;
  to.router = add(router + ".weight", {e.count, config.hidden});
  if (e.biases) to.router_bias = add(router + ".bias", {e.count});
  if (e.router == Experts::Router::kSigmoid)  // fp32 in all files
    to.correction = add(layer + kRouterCorrection, at::empty({e.count}, options_.dtype(at::kFloat)));
  to.gate_up = add_quantised(gate_up, {e.count, 2 * e.intermediate, config.hidden});
  if (e.biases) to.gate_up_bias = add(gate_up + "_bias", {e.count, 2 * e.intermediate});
  to.down = add_quantised(down, {e.count, config.hidden, e.intermediate});
  if (e.biases) to.down_bias = add(down + "_bias", {e.count, config.hidden});
  if (e.shared_intermediate == 0) return;
  to.shared_gate_up = fuse(layer, linears.shared_gate_up, config.hidden, false, next_module);
  to.shared_down = fuse(layer, linears.shared_down, e.shared_intermediate, false, next_module);
}

Parameter* Weights::add(const std::string& name, at::IntArrayRef shape) {
  return add(name, at::empty(shape, options_));
}

Parameter* Weights::add(const std::string& name, const at::Tensor& compute) {
  parameters_.push_back(std::make_unique<Parameter>(Parameter{name, compute, compute, nullptr}));
  return parameters_.back().get();
}

Parameter* Weights::add_quantised(const std::string& name, at::IntArrayRef shape) {
  if (!quantise_.on()) return add(name, shape);
  Parameter* p = add(name, at::empty(shape, options_.device(at::kMeta)));
  p->quantised = std::make_shared<QuantisedMatrix>(
      quantised_shape(p->compute.numel() / shape.back(), shape.back(), quantise_, options_.device()));
  return p;
}

FusedLinear Weights::fuse(const std::string& prefix,
                          const std::vector<std::pair<std::string, int64_t>>& parts, int64_t in, bool bias,
                          int64_t& next_module) {
  FusedLinear fused;
  int64_t rows = 0;
  for (const auto& [name, out] : parts) rows += out;
  if (!quantise_.on()) fused.compute = at::empty({rows, in}, options_);
  if (bias) fused.bias = at::empty({rows}, options_);
  int64_t row = 0;
  for (const auto& [part, out] : parts) {
    const std::string name = prefix + part;
    fused.weights.push_back(quantise_.on() ? add_quantised(name + ".weight", {out, in})
                                           : add(name + ".weight", fused.compute.narrow(0, row, out)));
    if (bias) fused.biases.push_back(add(name + ".bias", fused.bias.narrow(0, row, out)));
    if (modules.at(next_module) != name) bug("module {} is not {}", modules[next_module], name);
    fused.modules.push_back(next_module++);
    row += out;
  }
  return fused;
}

at::Tensor FusedLinear::product(const at::Tensor& x) const {
  if (quantised()) {
    QuantisedParts parts;
    for (const Parameter* p : weights) parts.emplace_back(p->quantised);
    return quantised_linear(x, parts, bias);
  }
  const auto masters = [](const std::vector<Parameter*>& parameters) {
    std::vector<at::Tensor> out;
    for (const Parameter* p : parameters) out.push_back(p->master);
    return out;
  };
  return linear(x, compute, masters(weights), bias, masters(biases));
}

at::Tensor expert_product(const Parameter* weight, const Parameter* bias, const ExpertRows& rows,
                          const at::Tensor& x) {
  const at::Tensor offset = bias == nullptr ? at::Tensor() : bias->compute;
  if (weight->quantised) return grouped_quantised_linear(x, rows, weight->quantised, offset);
  return grouped_linear(x, rows, weight->compute, weight->master, offset,
                        bias == nullptr ? at::Tensor() : bias->master);
}

std::vector<Parameter*> Weights::list() {
  std::vector<Parameter*> out = stored();
  std::erase_if(out, [](const Parameter* p) { return is_constant(p->name); });
  return out;
}

std::vector<Parameter*> Weights::stored() {
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
