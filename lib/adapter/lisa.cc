#include "adapter/lisa.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "adapter/layers.h"
#include "base/error.h"
#include "model/families.h"

namespace temper {

void LisaOptions::fields(FieldVisitor& v) {
  v.field("blocks", blocks, {.help = "blocks that train at a time", .unit = "blocks", .min = 1});
  v.field("every", every,
          {.help = "other blocks are drawn after so many updates", .unit = "updates", .min = 1});
  v.field(
      "state", state,
      {.help = "of a block that freezes: drop its optimizer state and fp32 master, keep them in memory, or "
               "offload them to files of the run folder",
       .choices = {"drop", "keep", "offload"}});
  v.field("embedding", embedding, {.help = "the embedding trains all the time"});
  v.field("head", head, {.help = "the language-model head trains all the time"});
  v.field("norm", norm, {.help = "the final norm trains all the time"});
  v.field("weights", weights,
          {.help = "one a block: its chance in a draw is in proportion; empty: all equal"});
}

void LisaOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  const auto positive = std::count_if(weights.begin(), weights.end(), [](double w) { return w > 0; });
  const bool negative = std::any_of(weights.begin(), weights.end(), [](double w) { return !(w >= 0); });
  if (!weights.empty() && (negative || positive < blocks)) {
    problems.push_back(
        fmt::format("{}.weights: expected numbers from 0, at least {} of them above 0, so that "
                    "{} blocks can be drawn",
                    where, blocks, blocks));
  }
}

std::unique_ptr<Adapter> LisaOptions::attach(Model& model, uint64_t seed) const {
  const ModelConfig& config = model.config();
  if (blocks > config.layers)
    user_error("adapter.blocks: expected at most {}, found {}", config.layers, blocks);
  if (!weights.empty() && static_cast<int64_t>(weights.size()) != config.layers) {
    user_error("adapter.weights: expected one for each of the {} blocks, found {}", config.layers,
               weights.size());
  }
  if (config.causal && config.tied && embedding != head) {
    user_error(
        "adapter.embedding, adapter.head: of this model they are one weight; set both to true or both "
        "to false");
  }
  return std::make_unique<LisaAdapter>(model, *this, seed);
}

LisaAdapter::LisaAdapter(Model& model, const LisaOptions& options, uint64_t seed)
    : FullAdapter(model, [](const std::string&) { return false; }),
      options_(options),
      seed_(seed),
      parked_(options.state) {
  set_blocks(0);
  model_.set_trainable([&](const std::string& name) { return is_active(name); });
  for (Parameter* p : model_.parameters()) {
    if (layer_of(p->name) >= 0 || is_active(p->name)) parameters_.push_back(p);
  }
}

void LisaAdapter::set_blocks(int64_t interval) {
  const auto layers = static_cast<size_t>(model_.config().layers);
  interval_ = interval;
  RandomStream random(seed_, "lisa", static_cast<uint64_t>(interval));
  blocks_ =
      draw_layers(random, options_.weights.empty() ? std::vector<double>(layers, 1.0) : options_.weights,
                  options_.blocks);
}

bool LisaAdapter::is_active(const std::string& name) const {
  const int64_t layer = layer_of(name);
  if (layer >= 0) return std::binary_search(blocks_.begin(), blocks_.end(), layer);
  // Also what makes the layers' own embeddings (Gemma 4).
  if (name == "model.embed_tokens.weight" || name.find("per_layer") != std::string::npos)
    return options_.embedding;
  if (name == "lm_head.weight") return options_.head;
  if (name == std::string(family_of(model_.config()).parts.last_norm) + ".weight") return options_.norm;
  return true;  // a score head
}

std::vector<std::pair<std::string, at::Tensor>> LisaAdapter::active() {
  std::vector<std::pair<std::string, at::Tensor>> out;
  for (auto& named : trainable()) {
    if (is_active(named.first)) out.push_back(std::move(named));
  }
  return out;
}

void LisaAdapter::begin_update(int64_t update, TrainingRun& run) {
  updates_ = update + 1;
  const int64_t interval = update / options_.every;
  if (interval == interval_) return;
  set_blocks(interval);
  parked_.set_folder(work_folder_ + "/parked");
  // Those that stay are left as they are, their optimizer state too. Memory is given back before more is
  // taken.
  for (Parameter* p : parameters_) {
    if (!p->master.requires_grad() || is_active(p->name)) continue;
    StateTensors state = run.forget(p->name);
    if (p->master.scalar_type() != p->compute.scalar_type()) state["master"] = p->master.detach();
    parked_.put(p->name, state);
    p->freeze();
  }
  for (Parameter* p : parameters_) {
    if (p->master.requires_grad() || !is_active(p->name)) continue;
    StateTensors state = parked_.take(p->name);
    p->train();
    const auto master = state.find("master");
    if (master != state.end()) {
      p->master.detach().copy_(master->second);
      state.erase(master);
    }
    run.add(p->name, state);
  }
}

AdapterState LisaAdapter::state() {
  return {{{"interval", interval_}, {"position", updates_ - interval_ * options_.every}, {"blocks", blocks_}},
          parked_.all()};
}

void LisaAdapter::load_state(const AdapterState& state, int64_t updates, const std::string& where) {
  std::vector<int64_t> blocks;
  int64_t interval = 0, position = 0;
  try {
    interval = state.json.at("interval").get<int64_t>();
    position = state.json.at("position").get<int64_t>();
    blocks = state.json.at("blocks").get<std::vector<int64_t>>();
  } catch (const Json::exception& e) {
    user_error("{}: not a state of lisa: {}", where, e.what());
  }
  if (interval < 0 || interval > updates)
    user_error("{}: lisa: interval {} after {} updates", where, interval, updates);
  set_blocks(interval);
  if (blocks != blocks_ || position < 0 || position > options_.every ||
      interval * options_.every + position != updates) {
    user_error(
        "{}: lisa: interval {}, update {} of it and blocks {} are not those of this run after {} updates",
        where, interval, position, Json(blocks).dump(), updates);
  }
  updates_ = updates;
  parked_.set_folder(work_folder_ + "/parked");
  parked_.load(state.tensors);
  for (Parameter* p : parameters_) {
    if (is_active(p->name) && !p->master.requires_grad())
      p->train();
    else if (!is_active(p->name))
      p->freeze();
  }
}

}  // namespace temper
