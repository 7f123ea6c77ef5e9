// The one decoder. Families differ by ModelConfig; parameter names are the Hugging Face names.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "model/config.h"
#include "model/linear_attention.h"
#include "model/precision.h"
#include "model/router.h"
#include "tensor/logp.h"
#include "tensor/ops.h"
#include "tensor/packed.h"

namespace temper {

struct ExpertRows;  // tensor/experts/experts.h

// A named weight. `master` is what an optimizer updates and what receives gradients: fp32 when it is trained,
// the compute dtype when it is frozen. `compute` is what products read; it shares storage with master when
// dtypes agree.
// A quantised one has no dense values: master and compute are on the meta device, with shape and dtype and no
// more.
struct Parameter {
  std::string name;
  at::Tensor master, compute;
  std::shared_ptr<QuantisedMatrix> quantised;  // null: not quantised; of experts [E out, in]
  bool passes_read_master = false;             // and not compute alone: norms, score heads
  bool master_elsewhere = false;               // see leave_master()

  at::Tensor values() const;  // fp32, of compute or dequantised
  // Writes to compute, rounded to its dtype or quantised.
  void assign(const at::Tensor& values);
  // Gives it an fp32 master that takes gradients, with compute's values; not for a quantised one.
  void train();
  // The master is compute, without gradient: digits that only the fp32 master held are gone.
  void freeze();
  // Whether this process can do without the values of the master: it has its own, and passes read compute.
  bool master_may_leave() const;
  // Another process has the master's values. Here it is a leaf of 4 bytes in their shape, to be neither read
  // nor written, which takes dense fp32 gradients as before; whoever has the values brings compute up to
  // date, which refresh() leaves alone. Until train() or freeze().
  void leave_master();
};

// Something added to the output of named linears (LoRA and kin), and of a mixture's router and experts.
// Implemented in room adapter.
class LinearDelta {
 public:
  virtual ~LinearDelta() = default;
  // Linears that share x [N, in] and whose outputs x W^T (+ bias) lie side by side in y [N, sum of outs],
  // modules[i] with outs[i] columns; returns the output to use, which may be y written to. modules index
  // Model::linear_modules(). training: dropout and the like are on.
  virtual at::Tensor apply(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs,
                           const at::Tensor& x, const at::Tensor& y, bool training) = 0;
  // What these linears read instead of x.
  virtual at::Tensor input(const std::vector<int64_t>& modules, const at::Tensor& x) { return x; }
  // Whether something of the linear's takes gradients now.
  virtual bool trains(int64_t module) const { return true; }

  // The same for the weights of a mixture (families.h), which are no linears: the router's with x [N, H] and
  // y [N, E], rows null; the experts' with x [M, in] and y [M, out] sorted by expert.
  virtual at::Tensor apply_mixture(const Parameter* weight, const ExpertRows* rows, const at::Tensor& x,
                                   const at::Tensor& y) {
    return y;
  }
  virtual bool trains_mixture(const Parameter* weight) const { return false; }
};

// Trained tokens in front of every text (soft prompts, prefixes). Implemented in room adapter.
class VirtualTokens {
 public:
  virtual ~VirtualTokens() = default;
  virtual int64_t count() const = 0;
  virtual at::Tensor embeddings() = 0;  // [count, H]
  // What attention sees of them in a layer, [count, K, D] each, rotated; undefined: what the model computes.
  virtual std::pair<at::Tensor, at::Tensor> keys_and_values(int64_t layer) { return {}; }
};

// Where a block's attention looks up its keys and values: the packed batch itself when training, a key/value
// cache when decoding (room rollout).
class AttentionContext {
 public:
  virtual ~AttentionContext() = default;
  // q [N, Q, D], k and v [N, K, D], turned -> [N, Q, D]. layer: whose keys and values these are; a layer that
  // reads another's gives that one's once more.
  virtual at::Tensor attend(int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionLaw& law) = 0;
  // The same of a layer of linear attention: [N, Hv, Dv].
  virtual at::Tensor mix(int64_t layer, const MixInput& in) = 0;
  // Where a cache keeps the latents of latent attention in place of keys and values (latent.h): what the
  // model keeps of a layer beside them, as long as its weights stay. Null: heads are asked for whole.
  virtual at::Tensor* latent_up(int64_t layer) { return nullptr; }
  // Told which experts [N, k] the tokens of a layer went to; the how many-th of the layers with experts.
  virtual void routed(int64_t sparse_layer, const at::Tensor& experts) {}
  // The convolution of a layer whose memory is its last inputs: x [N, C], weight [C, K] -> [N, C].
  virtual at::Tensor convolve(int64_t layer, const at::Tensor& x, const at::Tensor& weight) = 0;
  // Sub-layers of a block that this pass leaves out, as drafts of self-speculative decoding do.
  virtual bool skips_attention(int64_t layer) const { return false; }
  virtual bool skips_mlp(int64_t layer) const { return false; }
};

struct ForwardOptions {
  int64_t checkpoint_every = 0;           // recompute blocks in backward: 0 none, 1 every block, n every n-th
  bool training = false;                  // dropout of adapters
  at::Tensor embedding_noise = {};        // [N, H], added to the embeddings; undefined: none
  RouterCounts* router_counts = nullptr;  // what the routers of a mixture do is added; null: nobody asks
  at::Tensor balance_gradient = {};       // [E], see RouterCounts::balance_gradient(); undefined: none
  // Experts that another pass over the batch chose, [N, sparse layers * k] integer, -1: not known. They are
  // compared with this pass's choices for router_counts or, replayed, stand in their place.
  at::Tensor routes = {};
  bool replay_routes = false;
};

// Which heads a folder's model is wanted with.
struct Heads {
  bool causal = true;  // the language-model head; false: left out, and the model must get a score head
  // Outputs of the score head: the folder's own, or a fresh one of normal(0, 0.02) where it has none; 0: the
  // folder's own when causal is false, else none.
  int64_t scores = 0;
  uint64_t seed = 0;                     // of a fresh score head
  std::vector<std::string> score_names;  // of its outputs; empty: LABEL_0, LABEL_1 ...
  // Of a model without a language-model head: what transformers takes for padding, and so the token that it
  // looks in front of for the place to read the scores at. Left out: config.json's.
  std::optional<int64_t> pad_id;
};

class Model {
 public:
  // A Hugging Face folder: config.json, *.safetensors (single or sharded). Throws UserError unless every
  // parameter is filled with a tensor of its shape, and for a head that is wanted and not there.
  static std::unique_ptr<Model> load(const std::string& folder, const Precision& precision,
                                     const Heads& heads = {});
  // Fresh weights: normal(0, 0.02), norms 1, biases 0; residual outputs scaled by 1/sqrt(2 layers).
  static std::unique_ptr<Model> initialise(const ModelConfig& config, const Precision& precision,
                                           uint64_t seed);
  // Tensors with shapes and no storage, for planning.
  static std::unique_ptr<Model> shapes_only(const ModelConfig& config, Precision precision);
  virtual ~Model() = default;

  virtual const ModelConfig& config() const = 0;
  virtual const Precision& precision() const = 0;

  // Final-norm output [N, H] in the compute dtype.
  virtual at::Tensor hidden(const PackedTokens& batch, const ForwardOptions& options = {}) = 0;
  // The same blocks over any context. ids, positions [N].
  virtual at::Tensor hidden(const at::Tensor& ids, const at::Tensor& positions,
                            AttentionContext& context) = 0;
  // The language-model head, for selective_logp and decoding: [V, H].
  virtual const Parameter& head() const = 0;
  // The score head [A, H].
  virtual const Parameter& score_head() const = 0;
  // Chooses the rotary angles of a run whose sequences have up to so many tokens, where they depend on that
  // (Rope::depends_on_length); one choice for the whole run, or cached keys would not fit, and longer
  // sequences are refused with a UserError. Nothing: by the longest sequence of each pass, as transformers.
  virtual void expect_length(std::optional<int64_t> longest) = 0;
  virtual std::optional<int64_t> expected_length() const = 0;
  // A tied head becomes a parameter of its own with the embedding's values; config().tied is false from then
  // on. Nothing where the head is untied or there is none.
  virtual void untie_head() = 0;
  // Embedding and head get so many rows, config().vocab: the first keep their values, further ones are 0.
  virtual void resize_vocabulary(int64_t rows) = 0;
  at::Tensor logits(const at::Tensor& hidden);  // [N, V] fp32, no gradient

  // In Hugging Face order and names; a tied head is not listed.
  virtual std::vector<Parameter*> parameters() = 0;
  virtual std::vector<Parameter*> stored() = 0;  // with the constants beside them, as files have them
  Parameter* find(const std::string& name);      // null when there is none
  // fp32 masters with gradients for the chosen ones; the rest frozen in the compute dtype. Throws UserError
  // for those of a quantised linear or of quantised experts.
  virtual void set_trainable(const std::function<bool(const std::string& name)>& trains) = 0;
  // compute <- master for trained parameters; call once after each optimizer step.
  virtual void refresh() = 0;

  // Module paths of all linears in order ("model.layers.0.self_attn.q_proj" ...), the ids that LinearDelta
  // sees.
  virtual const std::vector<std::string>& linear_modules() const = 0;
  virtual void set_delta(LinearDelta* delta) = 0;  // null: none. Not owned.
  virtual LinearDelta* delta() const = 0;

  // Tokens that stand in front of every root segment of a packed batch, computed once for all of them,
  // without a row in the result: a root's first token is still predicted by nothing. Over another context
  // they are the ids from vocab on, virtual_ids(), which the caller puts in front of a prompt. null: none.
  // Not owned.
  virtual void set_virtual_tokens(VirtualTokens* tokens) = 0;
  virtual VirtualTokens* virtual_tokens() const = 0;
  std::vector<int64_t> virtual_ids() const;

  // config.json, generation_config.json, model.safetensors in `dtype`; the folder then loads in transformers:
  // as a causal model, whose score head (of a critic) is left out, or as one for sequence classification.
  void save(const std::string& folder, at::ScalarType dtype);
};

// The config of a folder's model with these heads. Throws UserError.
ModelConfig model_config(const std::string& folder, const Heads& heads);

// Where transformers reads the scores of prompt and completion: at the last token that is not the pad token
// (so an end token that doubles as one is passed over); the first one when all are, the last one without a
// pad token.
int64_t score_position(const std::vector<int64_t>& prompt, const std::vector<int64_t>& completion,
                       std::optional<int64_t> pad_id);

// Scores [R, A] fp32 at rows [R] of a final-norm output `hidden` [N, H]; gradients reach hidden and head.
at::Tensor model_scores(const Model& model, const at::Tensor& hidden, const at::Tensor& rows);

// What quantising cost, in one line: bytes, and for each kind of weight the error against the values of the
// files, root mean square and largest, both relative to the root mean square of the values. "" without.
std::string quantisation_summary(Model& model);

// [M] fp32 log-probs of the targets under the model.
LogpResult model_logp(Model& model, const PackedTokens& batch, const Targets& targets,
                      const LogpOptions& logp = {}, const ForwardOptions& forward = {});
// The same from a final-norm output, with the logits that the model makes of it.
LogpResult model_logp(const Model& model, const at::Tensor& hidden, const Targets& targets,
                      LogpOptions options = {});

}  // namespace temper
