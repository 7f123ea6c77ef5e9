#include "train/plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "adapter/layers.h"
#include "base/error.h"
#include "base/json.h"
#include "base/limits.h"
#include "model/families.h"
#include "model/load.h"
#include "model/precision.h"
#include "rollout/speculate/draft_model.h"
#include "text/new_tokens.h"
#include "train/session.h"

namespace temper {
namespace {

// Keys and values of a token, in bytes.
int64_t cache_row(const ModelConfig& model, int64_t item) {
  return std::max<int64_t>(1, model.cached_numbers()) * item;
}

}  // namespace

int64_t PlanShapes::cache_bytes(const RolloutSection& rollout, int64_t prompts) const {
  const int64_t batch = std::min(rollout.max_batch, prompts * rollout.group_size);
  return product("rollout.max_new_tokens: bytes of keys and values",
                 {batch, rollout.max_new_tokens, cache_row(model, item_bytes)});
}

namespace {

// Of a model as it computes, in bytes.
struct PlannedWeights {
  int64_t dense = 0, quantised = 0;
};

PlannedWeights weights_of(Model& model, int64_t item) {
  PlannedWeights out{model.config().parameter_count() * item, 0};
  for (const Parameter* p : model.parameters()) {
    if (!p->quantised) continue;
    out.quantised += p->quantised->bytes();
    out.dense -= p->compute.numel() * item;
  }
  return out;
}

// A second model that drafts tokens while sampling; its weights stay beside the one that trains.
struct DraftMemory {
  int64_t weights = 0, cache = 0;  // bytes
};

// model, cache: of the model that trains, of which the draft has the precision, and its sequences.
DraftMemory draft_memory(const RunConfig& config, const ModelConfig& model, const Precision& precision,
                         int64_t cache) {
  const auto* options = dynamic_cast<const DraftModelOptions*>(config.task->sampling().speculation.get());
  if (options == nullptr) return {};
  const auto item = static_cast<int64_t>(c10::elementSize(precision.compute));
  const auto draft = Model::shapes_only(model_config(options->model, {}), precision);
  const PlannedWeights weights = weights_of(*draft, item);
  return {weights.dense + weights.quantised,
          product("rollout.max_new_tokens: bytes of the draft's keys and values",
                  {cache / cache_row(model, item), cache_row(draft->config(), item)})};
}

// Of the MLPs that a token goes through in a layer.
int64_t mlp_width(const ModelConfig& c, int64_t layer) {
  const Experts& e = c.experts;
  const int64_t dense = !c.sparse(layer) || e.beside_mlp ? c.intermediate_of(layer) : 0;
  return dense + (c.sparse(layer) ? e.chosen * e.intermediate + e.shared_intermediate : 0);
}

// Of a mixture: without the experts that a token does not go to.
int64_t parameters_of_a_token(const ModelConfig& c) {
  const Experts& e = c.experts;
  int64_t sparse = 0;
  for (int64_t l = 0; l < c.layers; ++l) sparse += c.sparse(l) ? 1 : 0;
  return c.parameter_count() - sparse * (e.count - e.chosen) * 3 * e.intermediate * c.hidden;
}

// What the ranks may share out, in bytes.
struct Kept {
  int64_t masters = 0, state = 0;
};

// Of the rank that keeps most. masters: of all.
Kept most_kept(const RunConfig& config, const std::vector<OptimParameter>& optimized,
               const std::vector<SharedParameter>& shared, int64_t masters, int64_t ranks) {
  Kept most;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    std::set<std::string> owned;
    Kept kept{masters, 0};
    for (const SharedParameter& s : shared) {
      if (s.owner == rank)
        owned.insert(s.name);
      else if (s.weight != nullptr)
        kept.masters -= 4 * s.value.numel();
    }
    std::vector<OptimParameter> mine = optimized;
    std::erase_if(mine, [&](const OptimParameter& p) { return !owned.count(p.name); });
    kept.state = config.optimizer->make(mine)->state_bytes();
    if (kept.masters + kept.state > most.masters + most.state) most = kept;
  }
  return most;
}

// Numbers that a token keeps for backward in a block, without the inputs of trained linears: the inputs of
// the norms, q, k, v (or what the recurrence reads), the attention's output, gate | up and their product, of
// experts each one's result; the layer's own embedding, its gate and their product.
int64_t kept_numbers(const ModelConfig& c, int64_t layer) {
  const LinearAttention& r = c.linear;
  const int64_t mixed = c.linear_attention(layer) ? 2 * r.channels() + 2 * r.value_heads * r.value_dim
                        : c.short_convolution(layer)
                            ? 5 * c.hidden
                            : 2 * (c.heads + c.kv_heads_of(layer)) * c.head_dim_of(layer);
  const int64_t results = c.sparse(layer) ? c.experts.chosen * c.hidden : 0;
  return 2 * c.hidden + mixed + 2 * mlp_width(c, layer) + 5 * c.unlike.own_embedding_width + results;
}

}  // namespace

Json plan_training(const RunConfig& config, int64_t ranks) {
  const Heads heads = config.task->heads(config, nullptr, nullptr);
  ModelConfig shape = config.model.init.model_config();
  shape.causal = heads.causal;
  shape.scores = heads.scores;
  if (!config.model.path.empty())
    shape = model_config(config.model.path, heads);
  else if (!config.model.init.tokenizer.empty())
    shape.vocab = Tokenizer::load(config.model.init.tokenizer)->vocab_size();
  if (const auto added = new_tokens(config.model.add_tokens, "model.add_tokens"); !added.empty()) {
    const std::string& folder = config.model.path.empty() ? config.model.init.tokenizer : config.model.path;
    if (!folder.empty()) shape.vocab = std::max(shape.vocab, load_with_tokens(folder, added)->vocab_size());
  }
  Precision precision = make_precision(config.model.dtype, config.device);
  precision.quantise = config.model.quant_format();
  const auto item = static_cast<int64_t>(c10::elementSize(precision.compute));

  // The model's shapes without its memory: tensors on the meta device have no storage.
  const auto model = Model::shapes_only(shape, precision);
  const auto adapter = config.adapter->attach(*model, static_cast<uint64_t>(config.seed));
  const auto count = [](const std::vector<std::pair<std::string, at::Tensor>>& named) {
    int64_t out = 0;
    for (const auto& [name, tensor] : named) out += tensor.numel();
    return out;
  };
  const int64_t trained = count(adapter->trainable()), active = count(adapter->active());
  // A layer schedule that keeps what it froze in memory ends with the state of all that ever trained.
  const bool keeps = adapter->parks_in_memory();
  auto optimized = keeps ? config.optimizer->parameters(adapter->trainable())
                         : active_parameters(*config.optimizer, *adapter);
  for (OptimParameter& p : optimized) p.value = p.value.detach().to(at::kFloat);  // as it is when it trains
  const int64_t state = config.optimizer->make(optimized)->state_bytes();

  const bool own = !adapter->can_switch_off();  // the model's own weights train
  const int64_t parameters = shape.parameter_count();
  // An untied head is a copy. Where an adapter computes the embedding or the head whole, that stands beside
  // the model's own, with a gradient in fp32 and values in fp32 to take it.
  auto [dense, quantised] = weights_of(*model, item);
  int64_t computed = 0;
  if (!own) {
    const auto trains = adapter->trainable();
    for (const Parameter* p : model->parameters()) {
      const bool named =
          std::any_of(trains.begin(), trains.end(), [&](const auto& t) { return t.first == p->name; });
      if (p->master.requires_grad() && !named) computed += p->master.numel();
    }
  }
  dense += computed * item;
  const int64_t weights = dense + quantised;
  // With fp32 compute the masters of the model's own weights are the weights themselves.
  const int64_t masters =
      own && precision.compute == at::kFloat
          ? 0
          : (keeps ? trained : active) * 4 + (precision.compute == at::kFloat ? 0 : computed * 4);
  const int64_t gradients = (active + computed) * 4;

  // What a micro-batch keeps for backward. Adapters keep a low-rank activation a linear, which is small
  // beside the rest. Frozen linears keep no input of their own, and what lies below all that trains keeps
  // nothing; a layer schedule may draw the lowest block.
  std::set<int64_t> training, experts;  // layers: where something trains, and where the experts do
  bool reaches_all = !own || active < trained;
  for (const auto& [name, tensor] : adapter->active()) {
    training.insert(layer_of(name));
    if (name.find(".mlp.experts.") != std::string::npos) experts.insert(layer_of(name));
    reaches_all = reaches_all || name == "model.embed_tokens.weight";
  }
  const int64_t every = config.model.checkpoint_every(), tokens = config.train.micro_batch_tokens;
  int64_t kept = 0, largest = 0;  // bytes a token
  bool below = true;
  for (int64_t l = 0; l < shape.layers; ++l) {
    below = below && !reaches_all && !training.count(l);
    if (below) continue;
    int64_t inputs = own && !training.count(l) ? 0 : 2 * shape.hidden + mlp_width(shape, l);
    if (experts.count(l)) inputs += shape.experts.chosen * shape.hidden;  // a token's, sorted by expert
    const int64_t bytes = (kept_numbers(shape, l) + inputs) * item;
    largest = std::max(largest, bytes);
    kept += every > 0 && l % every == 0 ? shape.hidden * item : bytes;
  }
  // Recomputed blocks are there one at a time.
  const int64_t activations =
      product("train.micro_batch_tokens: bytes of activations", {tokens, every == 1 ? kept + largest : kept});
  const bool head = own && shape.causal && model->head().master.requires_grad();
  const int64_t logits = shape.causal ? 2 * (12 << 20) + (head ? shape.vocab * shape.hidden * 4 : 0) : 0;
  TaskMemory task = config.task->memory(config, {shape, item, weights, trained, adapter->can_switch_off()});
  for (const RewardEntry& reward : config.rewards) {
    // The answers that rewards are compared with are the initial model's, of which a full run has a copy.
    if (reward.reference_samples() > 0 && !adapter->can_switch_off())
      task.reference = std::max(task.reference, weights);
  }
  const DraftMemory draft = draft_memory(config, shape, precision, task.cache);
  task.cache += draft.cache;
  constexpr int64_t kProgram =
      600 << 20;  // the program, its libraries, and what the allocator and oneDNN keep
  const auto peak = [&](const Kept& kept) {
    return kProgram + weights + kept.masters + kept.state + task.reference + task.teachers + task.replay +
           draft.weights + std::max(gradients + activations + logits, task.cache);
  };
  const auto shown = [&](const Kept& kept) -> Json {
    return {{"weights_bytes", weights},
            {"masters_bytes", kept.masters},
            {"gradients_bytes", gradients},
            {"optimizer_bytes", kept.state},
            {"peak_bytes", peak(kept)}};
  };
  Kept of_rank{masters, state};
  Json of_ranks = Json::object();
  if (ranks > 1) {
    of_ranks["count"] = ranks;
    of_ranks["none"] = shown(of_rank);
    if (config.adapter->trains_a_fixed_set()) {
      const Kept shared = most_kept(config, optimized, share_out(*adapter, *model, ranks), masters, ranks);
      of_ranks["state"] = shown(shared);
      if (config.dist.shard == "state") of_rank = shared;
    }
  }

  Json plan = {{"config", dump_fields(config)},
               {"parameters",
                {{"total", parameters},
                 {"of_a_token", parameters_of_a_token(shape)},
                 {"trained", trained},
                 {"active", active}}},
               {"memory",
                {{"weights_bytes", weights},
                 {"quantised_bytes", quantised},
                 {"masters_bytes", of_rank.masters},
                 {"reference_bytes", task.reference},
                 {"gradients_bytes", gradients},
                 {"optimizer_bytes", of_rank.state},
                 {"activations_bytes", activations},
                 {"logits_bytes", logits},
                 {"cache_bytes", task.cache},
                 {"draft_bytes", draft.weights},
                 {"teachers_bytes", task.teachers},
                 {"replay_bytes", task.replay},
                 {"peak_bytes", peak(of_rank)}}},
               {"steps", {{"steps", config.train.steps}, {"updates", config.updates()}}}};
  if (ranks > 1) plan["ranks"] = std::move(of_ranks);
  return plan;
}

}  // namespace temper
