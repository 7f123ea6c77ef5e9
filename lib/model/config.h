// A decoder's shape, read from and written to a Hugging Face config.json.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "tensor/logits_law.h"

namespace temper {

// How far the heads of queries and keys turn from position to position.
struct Rope {
  // "default", "linear", "dynamic", "llama3", "yarn", "longrope", "proportional"; see rope.h
  std::string type = "default";
  double theta = 10000.0;
  double partial = 1.0;  // the share of a head's numbers that turn, the first ones
  double factor = 1.0;
  int64_t original_max_positions = 8192;
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
  double beta_fast = 32.0, beta_slow = 1.0;              // yarn
  bool truncate = true;
  std::vector<double> short_factors, long_factors;  // longrope: of each pair
  double amplitude = 1.0;                           // cosines and sines are multiplied by it
  bool operator==(const Rope&) const = default;
  // Whether the angles depend on how long a run's sequences get.
  bool depends_on_length() const { return type == "dynamic" || type == "longrope"; }
};

// A mixture of experts in the place of some layers' MLPs: a router chooses some of them for each token, whose
// results are added up by its weights.
struct Experts {
  enum class Router { kSoftmax, kSoftmaxOfChosen, kSigmoid };  // see router.h
  int64_t count = 0;                                           // 0: the model is dense
  int64_t chosen = 0;                                          // a token
  int64_t intermediate = 0;                                    // width of each
  Router router = Router::kSoftmax;
  bool renormalised = true;  // the weights of the chosen sum to 1
  double scale = 1.0;        // of these weights
  // The experts stand in so many groups, of which so many may be chosen from.
  int64_t groups = 1, groups_chosen = 1;
  bool biases = false;              // of the router and of the experts
  int64_t shared_intermediate = 0;  // width of an MLP that all tokens go through beside them; 0: none
  bool shared_gated = false;        // times the sigmoid of a number a token
  // The layer's own MLP stands beside them, with norms of each of the two; the router reads the stream by a
  // norm of its own, and what an expert gives is scaled by a trained number of the expert (Gemma 4).
  bool beside_mlp = false;
  double limit = 7.0, alpha = 1.702;  // of the activation "clamped_swiglu"
  // Of the loss that keeps the experts equally busy, E sum_e f_e P_e; see router.h.
  double balance = 0.0;
  std::vector<bool> layers;  // which have them; empty: all
};

// Keys and values from one short vector a token (multi-head latent attention, arXiv 2405.04434): each head
// has `unturned` numbers of its own and `turned` ones, which turn and whose keys all heads share.
struct Latent {
  int64_t rank = 0;        // of keys and values; 0: the model has none
  int64_t query_rank = 0;  // of queries; 0: straight from the stream
  int64_t unturned = 0, turned = 0, value = 0;
};

// Layers whose memory of a sequence is a matrix a head, and no keys and values (gated delta rule, arXiv
// 2412.06464; Qwen3-Next, Qwen3.5).
struct LinearAttention {
  int64_t key_heads = 0;  // of queries and keys; 0: the model has no such layers
  int64_t value_heads = 0, key_dim = 0, value_dim = 0;
  int64_t kernel = 0;  // taps of the convolution in front
  std::vector<bool> layers;
  int64_t channels() const { return 2 * key_heads * key_dim + value_heads * value_dim; }
};

// Layers whose memory of a sequence is the last inputs of a convolution (LFM2, arXiv 2511.23404).
struct ShortConv {
  int64_t kernel = 0;  // taps; 0: the model has no such layers
  bool biases = false;
  std::vector<bool> layers;
};

// What sets the layers of a model apart from each other beside their windows (Gemma 4).
struct UnlikeLayers {
  // Of the layers without a window, where theirs are others; 0: they are not.
  int64_t full_head_dim = 0, full_kv_heads = 0;
  bool keys_are_values = false;  // in these layers: values come of the keys' projection
  // The last so many layers have no keys and values but read those of the last layer of their kind in front
  // of them, with a window or without.
  int64_t borrowers = 0;
  bool wide_borrowers = false;      // their MLPs are twice as wide
  int64_t own_embedding_width = 0;  // see own_embeddings.h; 0: there are none
};

enum class QkNorm { kNone, kHead, kWhole };  // of each head's numbers, or of all heads' together

struct ModelConfig {
  std::string family;  // config.json's model_type; families.h has them
  int64_t vocab = 0, hidden = 0, intermediate = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  int64_t max_positions = 2048;
  int64_t sliding_window = 0;           // 0: none
  std::vector<bool> layer_uses_window;  // per layer; empty: all when sliding_window > 0
  double norm_eps = 1e-6;
  Rope rope;
  std::optional<Rope> window_rope;  // of the layers with a window, where it is another one
  std::vector<bool> layer_turns;    // per layer: whether its heads turn at all; empty: all
  // > 0: queries are multiplied by 1 + growth ln(1 + floor(position / rope.original_max_positions))
  double query_growth = 0.0;
  bool tied = false;   // the head is the embedding
  bool causal = true;  // has a language-model head
  int64_t scores = 0;  // outputs of the score head, "score.weight" [scores, hidden]; 0: none
  std::vector<std::string> score_names;  // of its outputs (id2label); empty: LABEL_0, LABEL_1 ...
  bool qkv_bias = false, out_bias = false, mlp_bias = false;
  QkNorm qk_norm = QkNorm::kNone;  // RMS norms of q and k, before they turn
  bool sinks = false;              // a logit a head in its softmax, for nothing
  bool gated = false;              // attention's result is multiplied by sigmoid of a gate beside the queries
  LinearAttention linear;
  ShortConv short_conv;
  Latent latent;  // heads are then `head_dim` = unturned + turned wide
  UnlikeLayers unlike;
  std::string activation = "silu";  // of the gate: "silu", "gelu_tanh"; of experts also "clamped_swiglu"
  double embedding_scale = 1.0;     // of the embeddings; Gemma's is rounded to their type
  double attention_scale = 0.0;     // of the scores; 0: head_dim^-1/2
  double attention_softcap = 0.0;   // 0: none
  double residual_scale = 1.0;      // of what a sub-layer adds
  LogitsLaw logits;
  Experts experts;
  std::vector<int64_t> eos_ids;
  std::optional<int64_t> bos_id, pad_id;
  // The config.json that it was read from: what is written back but for what a run changes. null: none.
  std::shared_ptr<const Json> source;

  // Both spellings (rope_theta/rope_scaling and rope_parameters). A model with several parts, as those with a
  // vision tower, gives that of its text_config. Throws UserError naming `where`, the key, what was expected
  // and what was found; unknown families list the known ones.
  static ModelConfig from_json(const Json& json, const std::string& where);
  Json to_json() const;  // what transformers reads
  int64_t parameter_count() const;
  int64_t window(int64_t layer) const;
  int64_t head_dim_of(int64_t layer) const;
  int64_t kv_heads_of(int64_t layer) const;      // 0: the layer has neither keys nor values of its own
  int64_t intermediate_of(int64_t layer) const;  // of its MLP
  // The layer whose keys and values this one reads, itself or an earlier one.
  int64_t lender(int64_t layer) const;
  bool lends(int64_t layer) const;  // whether a later one reads its
  bool keys_are_values(int64_t layer) const { return unlike.keys_are_values && window(layer) == 0; }
  // Numbers that a sequence keeps of each token: the keys and values of all layers.
  int64_t cached_numbers() const;
  // Of the layers that `rope` is of, and of those that window_rope is of; see Rope::partial.
  int64_t turning_dim() const {
    return latent.rank > 0 ? latent.turned : unlike.full_head_dim > 0 ? unlike.full_head_dim : head_dim;
  }
  int64_t window_turning_dim() const { return unlike.full_head_dim > 0 ? head_dim : turning_dim(); }
  bool linear_attention(int64_t layer) const {
    return linear.key_heads > 0 && linear.layers.at(static_cast<size_t>(layer));
  }
  bool short_convolution(int64_t layer) const {
    return short_conv.kernel > 0 && short_conv.layers.at(static_cast<size_t>(layer));
  }
  bool has_states() const { return linear.key_heads > 0 || short_conv.kernel > 0; }
  // Whether its memory of a sequence is a state, and no keys and values.
  bool recurrent(int64_t layer) const { return linear_attention(layer) || short_convolution(layer); }
  bool sparse(int64_t layer) const {  // whether it has experts
    return experts.count > 0 && (experts.layers.empty() || experts.layers.at(static_cast<size_t>(layer)));
  }
  int64_t sparse_layers() const { return sparse_before(layers); }
  int64_t sparse_before(int64_t layer) const {
    int64_t count = 0;
    for (int64_t l = 0; l < layer; ++l) count += sparse(l) ? 1 : 0;
    return count;
  }
  const Rope& rope_of(int64_t layer) const { return window_rope && window(layer) > 0 ? *window_rope : rope; }
  bool turns(int64_t layer) const {
    return layer_turns.empty() || layer_turns.at(static_cast<size_t>(layer));
  }
};

}  // namespace temper
