// The decoder: embedding, blocks of attention and MLP with pre-norms, a final norm. One forward serves
// training (a packed batch), prefill and decoding (a key/value cache): they differ in the AttentionContext
// alone.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/families.h"
#include "model/fresh_weights.h"
#include "model/latent.h"
#include "model/load.h"
#include "model/model.h"
#include "model/recompute.h"
#include "model/rope.h"
#include "model/virtual_rows.h"
#include "model/weights.h"
#include "tensor/activations.h"
#include "tensor/experts/experts.h"
#include "tensor/ops.h"

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
    bool training = false;
    RouterCounts* counts = nullptr;  // until the pass is over: recomputed blocks do not count again
    Tensor balance_gradient, token_weight;
    Tensor routes;  // see ForwardOptions
    bool replay = false;
  };

  // batch: null outside a packed one.
  Tensor run(const Tensor& ids, const Tensor& positions, const std::shared_ptr<AttentionContext>& context,
             const ForwardOptions& options, const PackedTokens* batch) {
    const auto pass = std::make_shared<Pass>(make_pass(ids, positions, context, options));
    if (batch != nullptr && (options.router_counts != nullptr || options.balance_gradient.defined())) {
      pass->token_weight = token_weights_of(*batch);
      pass->counts = options.router_counts;
      pass->balance_gradient = options.balance_gradient;
    }
    pass->routes = options.routes;
    pass->replay = options.replay_routes;
    const VirtualRows& rows = pass->rows;
    Tensor x = embedding(rows.any() ? ids.clamp_max(config_.vocab - 1) : ids, weights_.embedding->compute,
                         weights_.embedding->master);
    // As in transformers: Gemma's embedding multiplies its rows, by a number of their type; Granite
    // multiplies all that goes into the first block.
    if (family_.scales_embeddings) x = x * at::scalar_tensor(config_.embedding_scale, x.options());
    x = rows.put(x, [&] { return virtual_->embeddings(); });
    if (!family_.scales_embeddings && config_.embedding_scale != 1.0) x = x * config_.embedding_scale;
    if (options.embedding_noise.defined()) x = (x + options.embedding_noise).to(x.scalar_type());
    for (int64_t l = 0; l < config_.layers; ++l) {
      const Block block = [this, l, pass](const Tensor& in) { return run_block(l, in, *pass); };
      const bool recompute = options.checkpoint_every > 0 && l % options.checkpoint_every == 0 &&
                             at::GradMode::is_enabled() && (x.requires_grad() || trains(weights_.blocks[l]));
      x = recompute ? recomputed(x, anchor_, block) : block(x);
    }
    pass->counts = nullptr;
    return norm(x, weights_.norm);
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
    pass.training = options.training;
    return pass;
  }

  void set_frequencies(int64_t longest) {
    const auto frequencies = [&](const Rope& rope) {
      return rope_frequencies(rope, config_.turning_dim(), longest).to(precision_.device);
    };
    frequencies_ = frequencies(config_.rope);
    if (config_.window_rope) window_frequencies_ = frequencies(*config_.window_rope);
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

  Tensor norm(const Tensor& x, const Parameter* weight) const {
    const Tensor& w = weight->master;
    return rms_norm(x, family_.norms_add_one ? w.to(at::kFloat) + 1.0 : w, config_.norm_eps);
  }

  // What a sub-layer adds to the stream.
  Tensor added(const Tensor& in, Tensor result, const Parameter* after) const {
    if (after != nullptr) result = norm(result, after);
    return config_.residual_scale == 1.0 ? in + result : in + result * config_.residual_scale;
  }

  Tensor run_block(int64_t l, const Tensor& in, const Pass& pass) {
    const BlockWeights& w = weights_.blocks[l];
    const Tensor x =
        pass.context->skips_attention(l)
            ? in
            : added(in, config_.recurrent(l) ? mix(l, in, pass) : attention(l, in, pass), w.after_attention);
    if (pass.context->skips_mlp(l)) return x;
    const Tensor h = w.before_mlp == nullptr ? x : norm(x, w.before_mlp);
    return added(x, config_.sparse(l) ? experts(l, h, pass) : mlp(w, h, pass), w.after_mlp);
  }

  Tensor activated(const Tensor& gate_up) const {
    return config_.activation == "silu" ? swiglu(gate_up) : geglu(gate_up);
  }

  Tensor mlp(const BlockWeights& w, const Tensor& h, const Pass& pass) {
    return project(w.down, activated(project(w.gate_up, h, pass.training)), pass.training);
  }

  // Tokens sorted by the experts that they go to, one product an expert, and the weighted sum back.
  Tensor experts(int64_t l, const Tensor& h, const Pass& pass) {
    const ExpertWeights& w = weights_.blocks[l].experts;
    const Experts& e = config_.experts;
    Tensor balance;
    if (pass.balance_gradient.defined())
      balance = pass.token_weight.unsqueeze(1) * pass.balance_gradient.to(h.device());
    const int64_t place = config_.sparse_before(l);
    Tensor routes;
    if (pass.routes.defined()) routes = pass.routes.narrow(1, place * e.chosen, e.chosen);
    const Routing routing =
        route(router_logits(w, h), e, w.correction == nullptr ? Tensor() : w.correction->compute, balance,
              pass.replay ? routes : Tensor());
    pass.context->routed(place, routing.experts);
    if (pass.counts != nullptr) {
      pass.counts->add(routing, pass.token_weight);
      if (routes.defined()) pass.counts->compare(routing, routes, pass.token_weight);
    }
    const ExpertRows rows = sort_by_expert(routing.experts, e.count);
    const Tensor gate_up = project(w.gate_up, w.gate_up_bias, rows, gather_rows(h, rows));
    const Tensor inner = config_.activation == "clamped_swiglu" ? clamped_swiglu(gate_up, e.limit, e.alpha)
                                                                : activated(gate_up);
    const Tensor out = combine_rows(project(w.down, w.down_bias, rows, inner), routing.weights, rows);
    if (w.shared_gate_up.weights.empty()) return out;
    return out +
           project(w.shared_down, activated(project(w.shared_gate_up, h, pass.training)), pass.training);
  }

  // One product an expert, for rows sorted by expert.
  Tensor project(const Parameter* weight, const Parameter* bias, const ExpertRows& rows, const Tensor& x) {
    const Tensor y = expert_product(weight, bias, rows, x);
    return delta_ == nullptr ? y : delta_->apply_mixture(weight, &rows, x, y);
  }

  // In fp32 where transformers' router is.
  Tensor router_logits(const ExpertWeights& w, const Tensor& h) {
    const Tensor x = config_.experts.router == Experts::Router::kSigmoid ? h.to(at::kFloat) : h;
    const Tensor y = router_product(w, x);
    return delta_ == nullptr ? y : delta_->apply_mixture(w.router, nullptr, x, y);
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
                                            : 1.0 / std::sqrt(static_cast<double>(config_.head_dim));
    law.window = config_.window(l);
    law.softcap = config_.attention_softcap;
    if (config_.sinks) law.sinks = weights_.blocks[l].sinks->master;
    return law;
  }

  // q [N, Q, D], k and v [N, K, D] of a block, normed and turned.
  std::vector<Tensor> heads_of(int64_t l, const Tensor& in, const Pass& pass) {
    const BlockWeights& w = weights_.blocks[l];
    const Tensor h = w.before_attention == nullptr ? in : norm(in, w.before_attention);
    Tensor qkv = project(w.qkv, h, pass.training), gate;
    if (config_.gated) std::tie(qkv, gate) = without_gate(qkv);
    const bool own_window_angles = config_.window_rope && config_.window(l) > 0;
    const RotaryAngles angles = !config_.turns(l)   ? RotaryAngles{}
                                : own_window_angles ? pass.window_angles
                                                    : pass.angles;
    if (config_.latent.rank > 0) return latent_heads(l, qkv, angles, pass);
    if (config_.qk_norm == QkNorm::kWhole) {
      const int64_t q = config_.heads * config_.head_dim, kv = config_.kv_heads * config_.head_dim;
      qkv = at::cat({norm(qkv.narrow(1, 0, q), w.q_norm), norm(qkv.narrow(1, q, kv), w.k_norm),
                     qkv.narrow(1, q + kv, kv)},
                    1);
    }
    if (config_.qk_norm != QkNorm::kHead) return split_heads(qkv, config_.heads, config_.kv_heads, angles);
    std::vector<Tensor> heads = split_heads(qkv, config_.heads, config_.kv_heads, {});
    heads[0] = norm(heads[0], w.q_norm);
    heads[1] = norm(heads[1], w.k_norm);
    if (gate.defined()) heads.push_back(gate);
    if (angles.cos.defined()) heads[0] = rotary(heads[0], angles), heads[1] = rotary(heads[1], angles);
    return heads;
  }

  // Each query head stands beside its gate: [N, Q D + 2 K D] without them, and the gates [N, Q D].
  std::pair<Tensor, Tensor> without_gate(const Tensor& qkv) const {
    const int64_t n = qkv.size(0), q = config_.heads * config_.head_dim, d = config_.head_dim;
    const Tensor both = qkv.narrow(1, 0, 2 * q).reshape({n, config_.heads, 2 * d});
    return {at::cat({both.narrow(2, 0, d).reshape({n, q}), qkv.narrow(1, 2 * q, qkv.size(1) - 2 * q)}, 1),
            both.narrow(2, d, d).reshape({n, q})};
  }

  // Linear attention: the recurrence's result, normed by head and gated.
  Tensor mix(int64_t l, const Tensor& in, const Pass& pass) {
    const BlockWeights& w = weights_.blocks[l];
    const LinearAttention& a = config_.linear;
    const int64_t n = in.size(0), values = a.value_heads * a.value_dim;
    const auto parts = project(w.mix_in, norm(in, w.before_attention), pass.training)
                           .split_with_sizes({a.channels(), values, a.value_heads, a.value_heads}, 1);
    const Tensor time = at::softplus(parts[3].to(at::kFloat) + w.time_bias->master.to(at::kFloat));
    const MixInput input{a, parts[0].contiguous(), w.conv->master.flatten(1),
                         -w.decay->master.to(at::kFloat).exp() * time, at::sigmoid(parts[2].to(at::kFloat))};
    const Tensor mixed = rms_norm(pass.context->mix(l, input), w.mix_norm->master, config_.norm_eps);
    const Tensor gated = mixed.reshape({n, values}) * at::silu(parts[1].to(at::kFloat));
    return project(w.mix_out, gated.to(in.scalar_type()), pass.training);
  }

  // short_vectors: [queries or their short vector | latent | turned key].
  std::vector<Tensor> latent_heads(int64_t l, const Tensor& short_vectors, const RotaryAngles& angles,
                                   const Pass& pass) {
    const BlockWeights& w = weights_.blocks[l];
    const Latent& a = config_.latent;
    constexpr double kEps = 1e-6;  // whatever rms_norm_eps is
    const auto parts =
        short_vectors.split_with_sizes({short_vectors.size(1) - a.rank - a.turned, a.rank, a.turned}, 1);
    Tensor q = parts[0];
    if (w.query_norm != nullptr) q = project(w.q_up, rms_norm(q, w.query_norm->master, kEps), pass.training);
    const auto split_q =
        q.reshape({-1, config_.heads, config_.head_dim}).split_with_sizes({a.unturned, a.turned}, 2);
    const LatentTokens tokens{at::cat({split_q[0], rotary(split_q[1], angles)}, 2),
                              rms_norm(parts[1], w.latent_norm->master, kEps),
                              rotary(parts[2].unsqueeze(1), angles)};
    if (const Tensor* up = latent_up(l, pass)) return heads_over_latents(a, tokens, *up);
    return whole_heads(a, tokens, project(w.kv_up, tokens.latent, pass.training));
  }

  // Of a context that keeps latents, the projection of them as it acts, adapters included: [Q, unturned +
  // value, rank]. Null elsewhere.
  const Tensor* latent_up(int64_t l, const Pass& pass) {
    Tensor* up = config_.latent.rank > 0 ? pass.context->latent_up(l) : nullptr;
    if (up == nullptr || up->defined()) return up;
    const FusedLinear& w = weights_.blocks[l].kv_up;
    const Tensor eye =
        at::eye(config_.latent.rank, weights_.embedding->compute.options().requires_grad(false));
    *up = project(w, eye, false).t().contiguous().view({config_.heads, -1, config_.latent.rank});
    return up;
  }

  Tensor attention(int64_t l, const Tensor& in, const Pass& pass) {
    std::vector<Tensor> heads = heads_of(l, in, pass);
    if (pass.query_scale.defined()) heads[0] = heads[0] * pass.query_scale.to(heads[0].scalar_type());
    if (pass.rows.any()) {
      const std::pair<Tensor, Tensor> given = virtual_->keys_and_values(l);
      const Tensor &keys = given.first, &values = given.second;
      if (keys.defined()) {
        heads[1] = pass.rows.put(heads[1], [&] { return keys; });
        heads[2] = pass.rows.put(heads[2], [&] { return values; });
      }
    }
    Tensor attended = pass.context->attend(l, heads[0], heads[1], heads[2], attention_law(l));
    if (const Tensor* up = latent_up(l, pass))
      attended = values_of_latents(config_.latent, attended, *up);
    else if (config_.value_dim() < config_.head_dim)
      attended = attended.narrow(2, 0, config_.value_dim());
    attended = attended.reshape({in.size(0), config_.heads * config_.value_dim()});
    if (heads.size() > 3) attended = attended * at::sigmoid(heads[3]);
    return project(weights_.blocks[l].out, attended, pass.training);
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

  Tensor project(const FusedLinear& w, const Tensor& x, bool training) {
    const Tensor in = delta_ == nullptr ? x : delta_->input(w.modules, x);
    const Tensor y = w.product(in);
    if (delta_ == nullptr) return y;
    std::vector<int64_t> outs;
    for (const Parameter* p : w.weights) outs.push_back(p->compute.size(0));
    return delta_->apply(w.modules, outs, in, y, training);
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
