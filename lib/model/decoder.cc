// The decoder: embedding, blocks of attention and MLP with pre-norms, a final norm. One forward serves
// training (a packed batch), prefill and decoding (a key/value cache): they differ in the AttentionContext
// alone.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/families.h"
#include "model/load.h"
#include "model/model.h"
#include "model/rope.h"
#include "model/weights.h"
#include "tensor/ops.h"

namespace temper {
namespace {

using at::Tensor;

class PackedContext : public AttentionContext {
 public:
  PackedContext(const PackedTokens& batch, const ModelConfig& config)
      : batch_(batch), config_(config), scale_(1.0 / std::sqrt(static_cast<double>(config.head_dim))) {}
  Tensor attend(int64_t layer, const Tensor& q, const Tensor& k, const Tensor& v) override {
    return packed_attention(q, k, v, batch_, scale_, config_.window(layer));
  }

 private:
  PackedTokens batch_;  // a copy: recomputation in backward outlives the caller's
  const ModelConfig& config_;
  double scale_;
};

// Runs a block without keeping what is inside it; backward runs it again. `anchor` requires a gradient, so
// that the node is recorded even when only weights inside the block are trained. Not for a block below which
// and in which nothing trains: it needs no node.
using Block = std::function<Tensor(const Tensor&)>;

struct Recompute : torch::autograd::Function<Recompute> {
  struct Holder : torch::CustomClassHolder {
    explicit Holder(Block block) : block(std::move(block)) {}
    Block block;
  };
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& x, const Tensor& anchor,
                        const Block& block) {
    ctx->save_for_backward({x});
    ctx->saved_data["block"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(block));
    return block(x);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    const auto holder = ctx->saved_data["block"].toCapsule();
    const Block& block = static_cast<Holder*>(holder.get())->block;
    at::AutoGradMode record(true);
    // Nothing is propagated to an x below which nothing trains.
    Tensor x = ctx->get_saved_variables()[0].detach().requires_grad_(ctx->needs_input_grad(0));
    const Tensor y = block(x);
    // Adds to the gradients of the weights inside, as the plain graph would.
    torch::autograd::backward({y}, {grads[0]});
    return {x.grad(), Tensor(), Tensor()};
  }
};

// Where virtual tokens stand among the rows of a pass.
struct VirtualRows {
  Tensor row, token;
  bool any() const { return row.defined() && row.size(0) > 0; }
  // x with the tokens' own values, [count, ...], in their rows.
  template <class Values>
  Tensor put(const Tensor& x, const Values& values) const {
    return any() ? x.index_copy(0, row, values().index_select(0, token).to(x.scalar_type())) : x;
  }
};

// The batch with a first segment of `ids`, which all its roots continue.
PackedTokens behind_virtual_tokens(const PackedTokens& batch, const std::vector<int64_t>& ids) {
  const auto n = static_cast<int64_t>(ids.size());
  std::vector<Segment> segments = {{0, n, -1}};
  for (const Segment& s : batch.segments)
    segments.push_back({s.begin + n, s.end + n, s.parent < 0 ? 0 : s.parent + 1});
  return packed(at::cat({at::tensor(ids, at::kLong).to(batch.ids.device()), batch.ids}),
                at::cat({at::arange(n, batch.positions.options()), batch.positions + n}),
                std::move(segments));
}

class Decoder : public Model {
 public:
  // Writes the values of the wanted parameters into their masters, or into compute when `masters` is false.
  using Source = std::function<void(Decoder& model, const std::vector<Parameter*>& wanted, bool masters)>;

  Decoder(ModelConfig config, const Precision& precision, Source source)
      : config_(std::move(config)),
        precision_(precision),
        source_(std::move(source)),
        weights_(config_, precision) {
    frequencies_ = rope_frequencies(config_).to(precision.device);
    source_(*this, weights_.list(), false);
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
  void untie_head() override {
    if (weights_.head != nullptr) weights_.untie_head();
    config_.tied = config_.tied && weights_.head == nullptr;
  }
  void resize_vocabulary(int64_t rows) override {
    weights_.resize_vocabulary(rows);
    config_.vocab = rows;
  }
  std::vector<Parameter*> parameters() override { return weights_.list(); }
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
      return run(batch.ids, batch.positions, std::make_shared<PackedContext>(batch, config_), options);
    const int64_t n = virtual_->count();
    const PackedTokens whole = behind_virtual_tokens(batch, virtual_ids());
    ForwardOptions all = options;
    if (all.embedding_noise.defined())
      all.embedding_noise = at::constant_pad_nd(all.embedding_noise, {0, 0, n, 0});
    return run(whole.ids, whole.positions, std::make_shared<PackedContext>(whole, config_), all)
        .narrow(0, n, batch.tokens());
  }
  Tensor hidden(const Tensor& ids, const Tensor& positions, AttentionContext& context) override {
    const std::shared_ptr<AttentionContext> borrowed(&context, [](AttentionContext*) {});
    return run(ids, positions, borrowed, {});
  }

 private:
  // A bias of a quantised linear neither: the product with it has no gradient of it.
  void refuse_quantised(const std::string& name) const {
    const std::string module = name.substr(0, name.rfind('.'));
    const auto& all = weights_.modules;
    if (precision_.quantise.on() && std::find(all.begin(), all.end(), module) != all.end())
      user_error("model.quantise: \"{}\" is of a quantised linear and cannot train", name);
  }
  VirtualRows virtual_rows(const Tensor& ids) const {
    if (virtual_ == nullptr) return {};
    const Tensor rows = at::nonzero(ids >= config_.vocab).squeeze(1);
    return {rows, ids.index_select(0, rows) - config_.vocab};
  }

  Tensor run(const Tensor& ids, const Tensor& positions, const std::shared_ptr<AttentionContext>& context,
             const ForwardOptions& options) {
    const auto [cos, sin] = rope_angles(frequencies_, positions);
    const VirtualRows rows = virtual_rows(ids);
    Tensor x = embedding(rows.any() ? ids.clamp_max(config_.vocab - 1) : ids, weights_.embedding->compute,
                         weights_.embedding->master);
    x = rows.put(x, [&] { return virtual_->embeddings(); });
    if (options.embedding_noise.defined()) x = (x + options.embedding_noise).to(x.scalar_type());
    for (int64_t l = 0; l < config_.layers; ++l) {
      const Block block = [this, l, cos = cos, sin = sin, context, rows,
                           training = options.training](const Tensor& in) {
        return run_block(l, in, cos, sin, *context, rows, training);
      };
      const bool recompute = options.checkpoint_every > 0 && l % options.checkpoint_every == 0 &&
                             at::GradMode::is_enabled() && (x.requires_grad() || trains(weights_.blocks[l]));
      x = recompute ? Recompute::apply(x, anchor_, block) : block(x);
    }
    return rms_norm(x, weights_.norm->master, config_.norm_eps);
  }

  Tensor run_block(int64_t l, const Tensor& in, const Tensor& cos, const Tensor& sin,
                   AttentionContext& context, const VirtualRows& rows, bool training) {
    const BlockWeights& w = weights_.blocks[l];
    const Tensor x =
        context.skips_attention(l) ? in : in + attention(l, in, cos, sin, context, rows, training);
    if (context.skips_mlp(l)) return x;
    const Tensor h = rms_norm(x, w.post_norm->master, config_.norm_eps);
    return x + project(w.down, swiglu(project(w.gate_up, h, training)), training);
  }

  Tensor attention(int64_t l, const Tensor& in, const Tensor& cos, const Tensor& sin,
                   AttentionContext& context, const VirtualRows& rows, bool training) {
    const BlockWeights& w = weights_.blocks[l];
    const Tensor h = rms_norm(in, w.input_norm->master, config_.norm_eps);
    const Tensor qkv = project(w.qkv, h, training);
    std::vector<Tensor> heads;
    if (config_.qk_norm) {
      heads = split_heads(qkv, config_.heads, config_.kv_heads, {}, {});
      heads[0] = rotary(rms_norm(heads[0], w.q_norm->master, config_.norm_eps), cos, sin);
      heads[1] = rotary(rms_norm(heads[1], w.k_norm->master, config_.norm_eps), cos, sin);
    } else {
      heads = split_heads(qkv, config_.heads, config_.kv_heads, cos, sin);
    }
    if (rows.any()) {
      const std::pair<Tensor, Tensor> given = virtual_->keys_and_values(l);
      const Tensor &keys = given.first, &values = given.second;
      if (keys.defined()) {
        heads[1] = rows.put(heads[1], [&] { return keys; });
        heads[2] = rows.put(heads[2], [&] { return values; });
      }
    }
    const Tensor attended = context.attend(l, heads[0], heads[1], heads[2])
                                .reshape({in.size(0), config_.heads * config_.head_dim});
    return project(w.out, attended, training);
  }

  bool trains(const BlockWeights& block) const {
    const auto taking = [](const Parameter* p) { return p != nullptr && p->master.requires_grad(); };
    for (const Parameter* p : {block.input_norm, block.post_norm, block.q_norm, block.k_norm}) {
      if (taking(p)) return true;
    }
    for (const FusedLinear* w : {&block.qkv, &block.out, &block.gate_up, &block.down}) {
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
  Weights weights_;
  Tensor frequencies_;
  Tensor anchor_ = at::empty({0}).requires_grad_(true);
  LinearDelta* delta_ = nullptr;
  VirtualTokens* virtual_ = nullptr;
};

// GPT-2's scheme: normal(0, 0.02), outputs onto the residual stream scaled by 1/sqrt(2 layers), norms 1,
// biases 0.
void fill_fresh(const ModelConfig& config, uint64_t seed, const std::string& name, Tensor to) {
  auto ends_with = [&](const std::string& tail) {
    return name.size() >= tail.size() && name.compare(name.size() - tail.size(), tail.size(), tail) == 0;
  };
  if (name.find("norm") != std::string::npos) {
    to.fill_(1.0);
  } else if (ends_with(".bias")) {
    to.fill_(0.0);
  } else {
    const bool residual = ends_with("o_proj.weight") || ends_with("down_proj.weight");
    const double std = 0.02 / (residual ? std::sqrt(2.0 * static_cast<double>(config.layers)) : 1.0);
    Tensor values = at::empty(to.sizes(), at::kFloat);
    float* v = values.mutable_data_ptr<float>();
    RandomStream stream(seed, "init." + name);
    for (int64_t i = 0; i < values.numel(); ++i) v[i] = static_cast<float>(std * stream.normal());
    to.copy_(values);
  }
}

// config: the one that the model was made with. A head that was tied then begins as the embedding.
void fill_fresh(const ModelConfig& config, uint64_t seed, Parameter& p, bool master) {
  const std::string& name = config.tied && p.name == "lm_head.weight" ? "model.embed_tokens.weight" : p.name;
  if (!p.quantised) return fill_fresh(config, seed, name, master ? p.master : p.compute);
  const Tensor values = at::empty(p.compute.sizes(), at::kFloat);
  fill_fresh(config, seed, p.name, values);
  p.assign(values);
}

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
