// The decoder: embedding, blocks of attention and MLP with their norms, a final norm. One forward serves
// training (a packed batch), prefill and decoding (a key/value cache): they differ in the AttentionContext
// alone.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/attention_heads.h"
#include "model/families.h"
#include "model/fresh_weights.h"
#include "model/latent.h"
#include "model/load.h"
#include "model/model.h"
#include "model/own_embeddings.h"
#include "model/recompute.h"
#include "model/recurrent_layers.h"
#include "model/rope.h"
#include "model/virtual_rows.h"
#include "model/weights.h"
#include "tensor/activations.h"
#include "tensor/experts/experts.h"
#include "tensor/ops.h"
#include "tensor/recurrent/causal_conv.h"

namespace temper {
namespace {

using at::Tensor;

class PackedContext : public AttentionContext {
 public:
  explicit PackedContext(const PackedTokens& batch) : batch_(batch) {}
  Tensor attend(int64_t, const Tensor& q, const Tensor& k, const Tensor& v,
                const AttentionLaw& law) override {
    return packed_attention(q, k, v, batch_, law);
  }
  Tensor mix(int64_t, const MixInput& in) override { return mix_packed(in, batch_.segments); }
  Tensor convolve(int64_t, const Tensor& x, const Tensor& weight) override {
    return causal_conv(x, weight, batch_.segments);
  }

 private:
  PackedTokens batch_;  // a copy: recomputation in backward outlives the caller's
};

class Decoder : public Model {
 public:
  // Writes the values of the wanted parameters into their masters, or into compute when `masters` is false.
  using Source = std::function<void(Decoder& model, const std::vector<Parameter*>& wanted, bool masters)>;

  Decoder(ModelConfig config, const Precision& precision, Source source)
      : config_(std::move(config)),
        precision_(precision),
        source_(std::move(source)),
        family_(family_of(config_)),
        weights_(config_, precision) {
    set_frequencies(0);
    source_(*this, weights_.stored(), false);
  }

  const ModelConfig& config() const override { return config_; }
  const Precision& precision() const override { return precision_; }
  const Parameter& head() const override {
    if (weights_.head == nullptr) bug("this model has no language-model head");
    return *weights_.head;
  }
  const Parameter& score_head() const override {
    if (weights_.score == nullptr) bug("this model has no score head");
    return *weights_.score;
  }
  void expect_length(std::optional<int64_t> longest) override {
    set_frequencies(longest.value_or(0));
    longest_ = longest;
  }
  std::optional<int64_t> expected_length() const override { return longest_; }
  void untie_head() override {
    if (weights_.head != nullptr) weights_.untie_head();
    config_.tied = config_.tied && weights_.head == nullptr;
  }
  void resize_vocabulary(int64_t rows) override {
    weights_.resize_vocabulary(rows);
    config_.vocab = rows;
  }
  std::vector<Parameter*> parameters() override { return weights_.list(); }
  std::vector<Parameter*> stored() override { return weights_.stored(); }
  const std::vector<std::string>& linear_modules() const override { return weights_.modules; }
  void set_delta(LinearDelta* delta) override { delta_ = delta; }
  LinearDelta* delta() const override { return delta_; }
  void set_virtual_tokens(VirtualTokens* tokens) override { virtual_ = tokens; }
  VirtualTokens* virtual_tokens() const override { return virtual_; }
  void refresh() override { weights_.refresh(); }

  void set_trainable(const std::function<bool(const std::string&)>& trains) override {
    std::vector<Parameter*> fresh;
    for (Parameter* p : weights_.list()) {
      if (!trains(p->name)) {
        p->freeze();
      } else if (!p->master.requires_grad()) {
        refuse_quantised(p->name);
        p->train();
        fresh.push_back(p);
      }
    }
    // The files may hold more digits than the compute dtype kept.
    if (precision_.compute != at::kFloat && !fresh.empty()) source_(*this, fresh, true);
  }

  Tensor hidden(const PackedTokens& batch, const ForwardOptions& options) override {
    if (virtual_ == nullptr)
      return run(batch.ids, batch.positions, std::make_shared<PackedContext>(batch), options, &batch);
    const int64_t n = virtual_->count();
    const PackedTokens whole = behind_virtual_tokens(batch, virtual_ids());
    ForwardOptions all = options;
    if (all.embedding_noise.defined())
      all.embedding_noise = at::constant_pad_nd(all.embedding_noise, {0, 0, n, 0});
    if (all.routes.defined()) all.routes = at::constant_pad_nd(all.routes, {0, 0, n, 0}, -1);
    return run(whole.ids, whole.positions, std::make_shared<PackedContext>(whole), all, &whole)
        .narrow(0, n, batch.tokens());
  }
  Tensor hidden(const Tensor& ids, const Tensor& positions, AttentionContext& context) override {
    const std::shared_ptr<AttentionContext> borrowed(&context, [](AttentionContext*) {});
    return run(ids, positions, borrowed, {}, nullptr);
  }

 private:
  // Their biases neither: the products with them have no gradient of these.
  void refuse_quantised(const std::string& name) {
    const std::string whole = name.substr(0, name.size() - (name.ends_with("_bias") ? 5 : 0));
    for (const std::string& weight : {whole, name.substr(0, name.rfind('.')) + ".weight"}) {
      if (const Parameter* p = find(weight); p != nullptr && p->quantised != nullptr)
        user_error("model.quantise: \"{}\" is of quantised weights and cannot train", name);
    }
  }
  VirtualRows virtual_rows(const Tensor& ids) const {
    if (virtual_ == nullptr) return {};
    const Tensor rows = at::nonzero(ids >= config_.vocab).squeeze(1);
    return {rows, ids.index_select(0, rows) - config_.vocab};
  }

  // What the blocks of a pass share.
  struct Pass {
    RotaryAngles angles, window_angles;
    Tensor query_scale;  // [N, 1, 1] or undefined
    std::shared_ptr<AttentionContext> context;
    VirtualRows rows;
    PassMath math;
    RouterCounts* counts = nullptr;  // until the pass is over: recomputed blocks do not count again
    Tensor balance_gradient, token_weight, routes;  // see ForwardOptions
    bool replay = false;
  };

  // batch: null outside a packed one.
  Tensor run(const Tensor& ids, const Tensor& positions, const std::shared_ptr<AttentionContext>& context,
             const ForwardOptions& options, const PackedTokens* batch) {
    const auto pass = std::make_shared<Pass>(make_pass(ids, positions, context, options));
    pass->math.decodes = batch == nullptr && !at::GradMode::is_enabled();
    if (batch != nullptr && (options.router_counts != nullptr || options.balance_gradient.defined())) {
      pass->token_weight = token_weights_of(*batch);
      pass->counts = options.router_counts;
      pass->balance_gradient = options.balance_gradient;
    }
    pass->routes = options.routes, pass->replay = options.replay_routes;
    const VirtualRows& rows = pass->rows;
    Tensor x = embedding(rows.any() ? ids.clamp_max(config_.vocab - 1) : ids, weights_.embedding->compute,
                         weights_.embedding->master);
    // As in transformers: Gemma's embedding multiplies its rows, by a number of their type; Granite
    // multiplies all that goes into the first block.
    if (family_.scales_embeddings) x = x * at::scalar_tensor(config_.embedding_scale, x.options());
    x = rows.put(x, [&] { return virtual_->embeddings(); });
    if (!family_.scales_embeddings && config_.embedding_scale != 1.0) x = x * config_.embedding_scale;
    if (options.embedding_noise.defined()) x = (x + options.embedding_noise).to(x.scalar_type());
    x = through_blocks(x, ids, options, pass);
    pass->counts = nullptr;
    return pass->math.norm(x, weights_.norm);
  }

  Tensor through_blocks(Tensor x, const Tensor& ids, const ForwardOptions& options,
                        const std::shared_ptr<Pass>& pass) {
    const bool own = weights_.own_table != nullptr;
    const Tensor embeddings = own ? own_embeddings(config_, weights_, ids, x, pass->math) : Tensor();
    std::map<int64_t, Tensors> lent;  // keys and values, by their layer
    for (int64_t l = 0; l < config_.layers; ++l) {
      Tensors in = {x};
      if (own) in.push_back(embeddings.select(1, l));
      if (const int64_t lender = config_.lender(l); lender != l)
        in.insert(in.end(), lent[lender].begin(), lent[lender].end());
      const Block block = [this, l, pass](const Tensors& from) { return run_block(l, from, *pass); };
      const auto takes = [](const Tensor& t) { return t.requires_grad(); };
      const bool recompute = options.checkpoint_every > 0 && l % options.checkpoint_every == 0 &&
                             at::GradMode::is_enabled() &&
                             (std::any_of(in.begin(), in.end(), takes) || trains(weights_.blocks[l]));
      const Tensors out = recompute ? recomputed(in, anchor_, block) : block(in);
      x = out[0];
      lent[l] = Tensors(out.begin() + 1, out.end());
    }
    return x;
  }

  Pass make_pass(const Tensor& ids, const Tensor& positions, const std::shared_ptr<AttentionContext>& context,
                 const ForwardOptions& options) {
    fit_length(positions);
    Pass pass;
    pass.angles = rope_angles(config_.rope, frequencies_, positions, family_.interleaved_rope);
    if (config_.window_rope)
      pass.window_angles =
          rope_angles(*config_.window_rope, window_frequencies_, positions, family_.interleaved_rope);
    if (config_.query_growth > 0) {
      const Tensor times = (positions / config_.rope.original_max_positions).floor();
      pass.query_scale = (times.to(at::kFloat).log1p() * config_.query_growth + 1).view({-1, 1, 1});
    }
    pass.context = context;
    pass.rows = virtual_rows(ids);
    pass.math = {delta_, options.training, config_.norm_eps, family_.norms_add_one};
    return pass;
  }

  void set_frequencies(int64_t longest) {
    const auto frequencies = [&](const Rope& rope, int64_t dim) {
      return rope_frequencies(rope, dim, longest).to(precision_.device);
    };
    frequencies_ = frequencies(config_.rope, config_.turning_dim());
    if (config_.window_rope)
      window_frequencies_ = frequencies(*config_.window_rope, config_.window_turning_dim());
  }

  // Before a pass: angles that were chosen for short sequences are wrong for longer ones.
  void fit_length(const Tensor& positions) {
    const bool depends =
        config_.rope.depends_on_length() || (config_.window_rope && config_.window_rope->depends_on_length());
    if (!depends || positions.numel() == 0) return;
    const auto length = positions.max().item<int64_t>() + 1;
    if (!longest_) return set_frequencies(length);
    if (length > std::max(*longest_, config_.rope.original_max_positions))
      user_error("a sequence of {} tokens, but this model's rotary angles were chosen for up to {}", length,
                 *longest_);
  }

  // What a sub-layer adds to the stream.
  Tensor added(const Tensor& in, Tensor result, const Parameter* after, const PassMath& math) const {
    if (after != nullptr) result = math.norm(result, after);
    return config_.residual_scale == 1.0 ? in + result : in + result * config_.residual_scale;
  }

  // in: the stream; then the layer's own embedding, where the model has such; then the keys and values of the
  // layer that lends them. Out of it: the stream, and keys and values if others read them.
  Tensors run_block(int64_t l, const Tensors& in, const Pass& pass) {
    const BlockWeights& w = weights_.blocks[l];
    const PassMath& math = pass.math;
    const Tensor own = weights_.own_table != nullptr ? in[1] : Tensor();
    Tensors keys_and_values(in.begin() + (own.defined() ? 2 : 1), in.end());
    Tensor x = in[0];
    const bool skips = pass.context->skips_attention(l) || pass.context->skips_attention(config_.lender(l));
    if (!skips) x = added(x, mixed(l, x, pass, keys_and_values), w.after_attention, math);
    if (!pass.context->skips_mlp(l)) {
      const Tensor h = w.before_mlp == nullptr ? x : math.norm(x, w.before_mlp);
      x = added(x, mlps(l, x, h, pass), w.after_mlp, math);
    }
    if (own.defined()) x = x + by_own_embedding(w.own, x, own, math);
    if (w.scale != nullptr) x = x * w.scale->compute;
    Tensors out = {x};
    if (config_.lends(l)) out.insert(out.end(), keys_and_values.begin(), keys_and_values.end());
    return out;
  }

  // Attention, or what stands in its place. keys_and_values: those of the layer that lends them, or else
  // empty, and then this layer's where it is one of attention.
  Tensor mixed(int64_t l, const Tensor& x, const Pass& pass, Tensors& keys_and_values) {
    const BlockWeights& w = weights_.blocks[l];
    const Tensor h = w.before_attention == nullptr ? x : pass.math.norm(x, w.before_attention);
    if (config_.linear_attention(l)) return linear_attention(config_, l, w, h, *pass.context, pass.math);
    if (config_.short_convolution(l)) return short_convolution(l, w, h, *pass.context, pass.math);
    return attention(l, h, pass, keys_and_values);
  }

  // h: the stream x, normed where the MLP has a norm in front of it.
  Tensor mlps(int64_t l, const Tensor& x, const Tensor& h, const Pass& pass) {
    const BlockWeights& w = weights_.blocks[l];
    const ExpertWeights& e = w.experts;
    if (!config_.sparse(l)) return mlp(w, h, pass.math);
    if (!config_.experts.beside_mlp) return experts(l, h, router_logits(e, h, pass.math), pass);
    const Tensor scale = e.router_scale->master / std::sqrt(static_cast<double>(config_.hidden));
    const Tensor logits = router_logits(e, rms_norm(x, scale, config_.norm_eps), pass.math);
    return pass.math.norm(mlp(w, h, pass.math), e.after_dense) +
           pass.math.norm(experts(l, pass.math.norm(x, e.before), logits, pass), e.after);
  }

  Tensor activated(const Tensor& gate_up) const {
    return config_.activation == "silu" ? swiglu(gate_up) : geglu(gate_up);
  }

  Tensor mlp(const BlockWeights& w, const Tensor& h, const PassMath& math) {
    return math.project(w.down, activated(math.project(w.gate_up, h)));
  }

  // Tokens sorted by the experts that they go to, one product an expert, and the weighted sum back.
  Tensor experts(int64_t l, const Tensor& h, const Tensor& logits, const Pass& pass) {
    const ExpertWeights& w = weights_.blocks[l].experts;
    const Experts& e = config_.experts;
    const PassMath& math = pass.math;
    const Routing routing = routed(l, logits, pass);
    const ExpertRows rows = sort_by_expert(routing.experts, e.count);
    const Tensor gate_up = math.project(w.gate_up, w.gate_up_bias, rows, gather_rows(h, rows));
    const Tensor inner = config_.activation == "clamped_swiglu" ? clamped_swiglu(gate_up, e.limit, e.alpha)
                                                                : activated(gate_up);
    const Tensor out = combine_rows(math.project(w.down, w.down_bias, rows, inner), routing.weights, rows);
    if (!w.shared_gate_up.any()) return out;
    Tensor shared = math.project(w.shared_down, activated(math.project(w.shared_gate_up, h)));
    if (w.shared_gate.any()) shared = at::sigmoid(math.project(w.shared_gate, h)) * shared;
    return out + shared;
  }

  // The router's choice, told to who asks for it.
  Routing routed(int64_t l, const Tensor& logits, const Pass& pass) const {
    const ExpertWeights& w = weights_.blocks[l].experts;
    const Experts& e = config_.experts;
    Tensor balance, routes;
    if (pass.balance_gradient.defined())
      balance = pass.token_weight.unsqueeze(1) * pass.balance_gradient.to(logits.device());
    const int64_t place = config_.sparse_before(l);
    if (pass.routes.defined()) routes = pass.routes.narrow(1, place * e.chosen, e.chosen);
    Routing routing = route(logits, e, w.correction == nullptr ? Tensor() : w.correction->compute, balance,
                            pass.replay ? routes : Tensor());
    pass.context->routed(place, routing.experts);
    if (pass.counts != nullptr) {
      pass.counts->add(routing, pass.token_weight);
      if (routes.defined()) pass.counts->compare(routing, routes, pass.token_weight);
    }
    if (w.each_scale != nullptr)
      routing.weights = routing.weights * w.each_scale->master.to(at::kFloat)
                                              .index_select(0, routing.experts.flatten())
                                              .view_as(routing.weights);
    return routing;
  }

  // In fp32 where transformers' router is.
  Tensor router_logits(const ExpertWeights& w, const Tensor& h, const PassMath& math) const {
    const Tensor x = config_.experts.router == Experts::Router::kSigmoid ? h.to(at::kFloat) : h;
    const Tensor y = router_product(w, x);
    return math.delta == nullptr ? y : math.delta->apply_mixture(w.router, nullptr, x, y);
  }
  Tensor router_product(const ExpertWeights& w, const Tensor& x) const {
    if (config_.experts.router == Experts::Router::kSigmoid)
      return at::linear(x, w.router->master.to(at::kFloat));
    if (w.router_bias == nullptr)
      return temper::linear(x, w.router->compute, std::vector<Tensor>{w.router->master});
    return temper::linear(x, w.router->compute, std::vector<Tensor>{w.router->master}, w.router_bias->compute,
                          {w.router_bias->master});
  }

  AttentionLaw attention_law(int64_t l) const {
    AttentionLaw law;
    law.scale = config_.attention_scale > 0 ? config_.attention_scale
                                            : 1.0 / std::sqrt(static_cast<double>(config_.head_dim_of(l)));
    law.window = config_.window(l);
    law.softcap = config_.attention_softcap;
    if (config_.sinks) law.sinks = weights_.blocks[l].sinks->master;
    return law;
  }

  RotaryAngles angles_of(int64_t l, const Pass& pass) const {
    if (!config_.turns(l)) return {};
    return config_.window_rope && config_.window(l) > 0 ? pass.window_angles : pass.angles;
  }

  // keys_and_values: see mixed().
  Tensor attention(int64_t l, const Tensor& h, const Pass& pass, Tensors& keys_and_values) {
    const BlockWeights& w = weights_.blocks[l];
    const Tensor* up = latent_up(config_, l, w, *pass.context, pass.math);
    AttentionHeads heads = attention_heads(config_, l, w, h, angles_of(l, pass), pass.math, up);
    if (pass.query_scale.defined()) heads.q = heads.q * pass.query_scale.to(heads.q.scalar_type());
    if (heads.k.defined()) {
      const auto [keys, values] =
          pass.rows.any() ? virtual_->keys_and_values(l) : std::pair<Tensor, Tensor>();
      if (keys.defined()) {
        heads.k = pass.rows.put(heads.k, [&given = keys] { return given; });
        heads.v = pass.rows.put(heads.v, [&given = values] { return given; });
      }
      keys_and_values = {heads.k, heads.v};
    }
    // A lender's keys and values are stored again where they stand.
    Tensor attended = pass.context->attend(config_.lender(l), heads.q, keys_and_values[0], keys_and_values[1],
                                           attention_law(l));
    if (up != nullptr)
      attended = values_of_latents(config_.latent, attended, *up);
    else if (config_.latent.rank > 0)
      attended = attended.narrow(2, 0, config_.latent.value);
    attended = attended.flatten(1);
    if (heads.gate.defined()) attended = attended * at::sigmoid(heads.gate);
    return pass.math.project(w.out, attended);
  }

  bool trains(const BlockWeights& block) const {
    const auto taking = [](const Parameter* p) { return p != nullptr && p->master.requires_grad(); };
    for (const Parameter* p : block.others()) {
      if (taking(p) || (delta_ != nullptr && delta_->trains_mixture(p))) return true;
    }
    for (const FusedLinear* w : block.linears()) {
      if (std::any_of(w->weights.begin(), w->weights.end(), taking)) return true;
      if (std::any_of(w->biases.begin(), w->biases.end(), taking)) return true;
      if (delta_ == nullptr) continue;
      for (const int64_t module : w->modules) {
        if (delta_->trains(module)) return true;
      }
    }
    return false;
  }

  ModelConfig config_;
  Precision precision_;
  Source source_;
  const Family& family_;
  Weights weights_;
  Tensor frequencies_, window_frequencies_;
  std::optional<int64_t> longest_;
  Tensor anchor_ = at::empty({0}).requires_grad_(true);
  LinearDelta* delta_ = nullptr;
  VirtualTokens* virtual_ = nullptr;
};

// The rows that both have: the vocabulary may have been resized since.
void copy_rows(const Tensor& from, const Tensor& to) {
  const int64_t rows = std::min(from.size(0), to.size(0));
  to.narrow(0, 0, rows).copy_(from.narrow(0, 0, rows));
}

}  // namespace

std::unique_ptr<Model> Model::load(const std::string& folder, const Precision& precision,
                                   const Heads& heads) {
  const ModelConfig config = model_config(folder, heads);
  const bool fresh_scores = config.scores > 0 && read_model_config(folder).scores == 0;
  // The folder's config; the model's own may have been untied or resized when this is called again.
  auto source = [folder, config, fresh_scores, seed = heads.seed](
                    Decoder&, const std::vector<Parameter*>& wanted, bool masters) {
    at::NoGradGuard guard;
    std::map<std::string, Parameter*> by_name;
    for (Parameter* p : wanted) by_name[p->name] = p;
    NamedShapes stored = parameter_shapes(config);
    if (fresh_scores) {
      stored.pop_back();
      const auto it = by_name.find("score.weight");
      if (it != by_name.end()) fill_fresh(config, seed, *it->second, masters);
    }
    const auto take = [&](const std::string& name, const Tensor& mapped) {
      const auto it = by_name.find(name);
      if (it == by_name.end()) return;
      if (masters)
        copy_rows(mapped, it->second->master);
      else
        it->second->assign(mapped);
    };
    read_weights(
        folder, stored,
        [&](const std::string& name, const Tensor& mapped) {
          take(name, mapped);
          if (config.tied && name == "model.embed_tokens.weight") take("lm_head.weight", mapped);
        },
        !config.causal);
  };
  return std::make_unique<Decoder>(config, precision, source);
}

std::unique_ptr<Model> Model::initialise(const ModelConfig& config, const Precision& precision,
                                         uint64_t seed) {
  auto source = [seed, config](Decoder&, const std::vector<Parameter*>& wanted, bool masters) {
    at::NoGradGuard guard;
    for (Parameter* p : wanted) fill_fresh(config, seed, *p, masters);
  };
  return std::make_unique<Decoder>(config, precision, source);
}

std::unique_ptr<Model> Model::shapes_only(const ModelConfig& config, Precision precision) {
  precision.device = at::kMeta;
  return std::make_unique<Decoder>(config, precision, [](Decoder&, const std::vector<Parameter*>&, bool) {});
}

}  // namespace temper
