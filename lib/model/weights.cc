#include "model/weights.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/error.h"
#include "model/families.h"
#include "tensor/experts/experts.h"
#include "tensor/ops.h"
#include "tensor/product/mm.h"

namespace temper {

Weights::Weights(const ModelConfig& config, const Precision& precision)
    : options_(at::TensorOptions().dtype(precision.compute).device(precision.device)),
      quantise_(precision.quantise) {
  modules = linear_module_names(config);
  int64_t next_module = 0;
  embedding = add("model.embed_tokens.weight", {config.vocab, config.hidden});
  blocks.resize(static_cast<size_t>(config.layers));
  for (int64_t l = 0; l < config.layers; ++l)
    add_block(config, l, next_module, blocks[static_cast<size_t>(l)]);
  norm = add(std::string(family_of(config).parts.last_norm) + ".weight", {config.hidden});
  if (const int64_t width = config.unlike.own_embedding_width; width > 0) {
    own_table = add(kOwnTable, {config.vocab, config.layers * width});
    own_projection = fuse("", own_embedding_linear(config), next_module);
    own_norm = add(kOwnNorm, {width});
  }
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

  std::vector<Parameter*> read = {norm, score, own_norm};
  for (const BlockWeights& b : blocks) {
    const std::vector<Parameter*> norms_of_it = b.norms();
    read.insert(read.end(), norms_of_it.begin(), norms_of_it.end());
    read.insert(read.end(), {b.sinks, b.conv, b.conv_bias, b.decay, b.time_bias, b.experts.router_scale,
                             b.experts.each_scale});
  }
  for (Parameter* p : read) {
    if (p != nullptr) p->passes_read_master = true;
  }
}

std::vector<Parameter*> BlockWeights::norms() const {
  std::vector<Parameter*> out = {
      before_attention, after_attention, before_mlp,  after_mlp, q_norm,
      k_norm,           query_norm,      latent_norm, mix_norm,  experts.after_dense,
      experts.before,   experts.after,   own.after};
  std::erase(out, nullptr);
  return out;
}

std::vector<Parameter*> BlockWeights::others() const {
  std::vector<Parameter*> out = norms();
  const ExpertWeights& e = experts;
  for (Parameter* p : {sinks, conv, conv_bias, decay, time_bias, e.router, e.router_bias, e.router_scale,
                       e.each_scale, e.gate_up, e.gate_up_bias, e.down, e.down_bias})
    if (p != nullptr) out.push_back(p);
  return out;
}

std::vector<const FusedLinear*> BlockWeights::linears() const {
  std::vector<const FusedLinear*> out;
  for (const FusedLinear* w :
       {&qkv, &q_up, &kv_up, &this->out, &mix_in, &mix_out, &gate_up, &down, &experts.shared_gate_up,
        &experts.shared_down, &experts.shared_gate, &own.gate, &own.out})
    if (w->any()) out.push_back(w);
  return out;
}

void Weights::add_block(const ModelConfig& config, int64_t l, int64_t& next_module, BlockWeights& to) {
  const std::string layer = "model.layers." + std::to_string(l) + ".";
  const Family& family = family_of(config);
  const BlockLinears linears = block_linears(config, l);
  const auto norm_of = [&](const char* name, int64_t width) {
    return name == nullptr ? nullptr : add(layer + name + ".weight", {width});
  };
  // In the order of BlockLinears::all().
  const auto fused = [&](const LinearParts& linear) { return fuse(layer, linear, next_module); };
  to.qkv = fused(linears.qkv), to.q_up = fused(linears.q_up), to.kv_up = fused(linears.kv_up);
  to.out = fused(linears.out);
  to.mix_in = fused(linears.mix_in), to.mix_out = fused(linears.mix_out);
  to.gate_up = fused(linears.gate_up), to.down = fused(linears.down);
  to.experts.shared_gate_up = fused(linears.shared_gate_up);
  to.experts.shared_down = fused(linears.shared_down);
  to.experts.shared_gate = fused(linears.shared_gate);
  to.own.gate = fused(linears.own_gate), to.own.out = fused(linears.own_out);
  if (!config.recurrent(l)) {
    const int64_t d = config.head_dim_of(l), kv = config.kv_heads_of(l);
    const Latent& latent = config.latent;
    if (latent.query_rank > 0) to.query_norm = norm_of("self_attn.q_a_layernorm", latent.query_rank);
    if (latent.rank > 0) to.latent_norm = norm_of("self_attn.kv_a_layernorm", latent.rank);
    const bool whole = config.qk_norm == QkNorm::kWhole, normed = config.qk_norm != QkNorm::kNone;
    if (normed) to.q_norm = norm_of(family.parts.q_norm, whole ? config.heads * d : d);
    if (normed && kv > 0) to.k_norm = norm_of(family.parts.k_norm, whole ? kv * d : d);
    if (config.sinks) to.sinks = add(layer + "self_attn.sinks", {config.heads});
  } else if (config.linear_attention(l)) {
    const LinearAttention& a = config.linear;
    const std::string at = layer + "linear_attn.";
    to.conv = add(at + "conv1d.weight", {a.channels(), 1, a.kernel});
    to.decay = add(at + "A_log", {a.value_heads});
    to.time_bias = add(at + "dt_bias", {a.value_heads});
    to.mix_norm = norm_of("linear_attn.norm", a.value_dim);
  } else {
    to.conv = add(layer + "conv.conv.weight", {config.hidden, 1, config.short_conv.kernel});
    if (config.short_conv.biases) to.conv_bias = add(layer + "conv.conv.bias", {config.hidden});
  }
  if (config.sparse(l)) add_experts(config, layer, to.experts);
  to.before_attention = norm_of(family.norms.before_attention, config.hidden);
  to.after_attention = norm_of(family.norms.after_attention, config.hidden);
  to.before_mlp = norm_of(family.norms.before_mlp, config.hidden);
  to.after_mlp = norm_of(family.norms.after_mlp, config.hidden);
  if (config.unlike.own_embedding_width > 0) to.own.after = add(layer + kOwnAfter, {config.hidden});
  if (family.scales_layers) to.scale = add(layer + kLayerScale, {1});
}

void Weights::add_experts(const ModelConfig& config, const std::string& layer, ExpertWeights& to) {
  const Experts& e = config.experts;
  const std::string router = layer + kRouter, gate_up = layer + kExpertsGateUp, down = layer + kExpertsDown;
  to.router = add(router + ".weight", {e.count, config.hidden});
  if (e.biases) to.router_bias = add(router + ".bias", {e.count});
  if (e.router == Experts::Router::kSigmoid)  // fp32 in all files
    to.correction = add(layer + kRouterCorrection, at::empty({e.count}, options_.dtype(at::kFloat)));
  if (e.beside_mlp) {
    to.router_scale = add(layer + kRouterScale, {config.hidden});
    to.each_scale = add(layer + kExpertScale, {e.count});
    to.after_dense = add(layer + kAfterDense + ".weight", {config.hidden});
    to.before = add(layer + kBeforeExperts + ".weight", {config.hidden});
    to.after = add(layer + kAfterExperts + ".weight", {config.hidden});
  }
  to.gate_up = add_quantised(gate_up, {e.count, 2 * e.intermediate, config.hidden});
  if (e.biases) to.gate_up_bias = add(gate_up + "_bias", {e.count, 2 * e.intermediate});
  to.down = add_quantised(down, {e.count, config.hidden, e.intermediate});
  if (e.biases) to.down_bias = add(down + "_bias", {e.count, config.hidden});
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

FusedLinear Weights::fuse(const std::string& prefix, const LinearParts& linear, int64_t& next_module) {
  FusedLinear fused;
  if (linear.parts.empty()) return fused;
  const int64_t in = linear.columns;
  int64_t rows = 0;
  for (const auto& [name, out] : linear.parts) rows += out;
  if (!quantise_.on()) fused.compute = at::empty({rows, in}, options_);
  if (linear.bias) fused.bias = at::empty({rows}, options_);
  int64_t row = 0;
  for (const auto& [part, out] : linear.parts) {
    const std::string name = prefix + part;
    fused.weights.push_back(quantise_.on() ? add_quantised(name + ".weight", {out, in})
                                           : add(name + ".weight", fused.compute.narrow(0, row, out)));
    if (linear.bias) fused.biases.push_back(add(name + ".bias", fused.bias.narrow(0, row, out)));
    if (modules.at(static_cast<size_t>(next_module)) != name)
      bug("module {} is not {}", modules[static_cast<size_t>(next_module)], name);
    fused.modules.push_back(next_module++);
    row += out;
  }
  return fused;
}

at::Tensor PassMath::project(const FusedLinear& w, const at::Tensor& x) const {
  const at::Tensor in = delta == nullptr ? x : delta->input(w.modules, x);
  const at::Tensor y = decodes ? w.decoding_product(in) : w.product(in);
  if (delta == nullptr) return y;
  std::vector<int64_t> outs;
  for (const Parameter* p : w.weights) outs.push_back(p->compute.size(0));
  return delta->apply(w.modules, outs, in, y, training);
}

at::Tensor PassMath::project(const Parameter* weight, const Parameter* bias, const ExpertRows& rows,
                             const at::Tensor& x) const {
  const at::Tensor y = expert_product(weight, bias, rows, x);
  return delta == nullptr ? y : delta->apply_mixture(weight, &rows, x, y);
}

at::Tensor PassMath::norm(const at::Tensor& x, const Parameter* weight) const {
  const at::Tensor& w = weight->master;
  return rms_norm(x, norms_add_one ? w.to(at::kFloat) + 1.0 : w, norm_eps);
}

at::Tensor PassMath::norm(const at::Tensor& x) const {
  return rms_norm(x, at::ones({x.size(-1)}, x.options().dtype(at::kFloat)), norm_eps);
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

at::Tensor FusedLinear::decoding_product(const at::Tensor& x) const {
  return quantised() ? product(x) : temper::product(x, compute, bias);
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
  const auto at = parameters_.end() - (score == nullptr ? 0 : 1);  // the score head is the last
  head = parameters_.insert(at, std::make_unique<Parameter>(Parameter{"lm_head.weight", own, own, nullptr}))
             ->get();
}

void Weights::resize_vocabulary(int64_t rows) {
  for (Parameter* p : {embedding, head, own_table}) {
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
