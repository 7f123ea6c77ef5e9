#include "adapter/ist.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "adapter/layers.h"
#include "adapter/targets.h"
#include "base/error.h"

namespace temper {
namespace {

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

// Rounded down, but one at least.
int64_t share_of(double share, size_t layers) {
  return std::max<int64_t>(1, static_cast<int64_t>(std::floor(share * static_cast<double>(layers))));
}

}  // namespace

void IstOptions::fields(FieldVisitor& v) {
  LoraOptions::fields(v);
  v.field("train_share", train_share,
          {.help = "share of the blocks whose adapters train in an update", .min = 0, .max = 1});
  v.field("measure_every", measure_every,
          {.help = "the scores are renewed before every so many updates", .unit = "updates", .min = 1});
  v.field("subsets", subsets, {.help = "sets of blocks that are suppressed in turn", .min = 2, .max = 100});
  v.field("suppressed_share", suppressed_share,
          {.help = "share of the blocks in such a set", .min = 0, .max = 1});
  v.field("suppress", suppress, {.help = "factor on the updates of suppressed adapters", .min = 0, .max = 1});
  v.field("score_rate", score_rate, {.help = "learning rate of the scores", .min = 0});
}

void IstOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  LoraOptions::check(problems, where);
  if (init == "corda") problems.push_back(where + ".init: ist takes no start from the data; choose another");
}

std::unique_ptr<Adapter> IstOptions::attach(Model& model, uint64_t seed) const {
  auto lora = LoraOptions::attach(model, seed);
  return std::make_unique<IstAdapter>(
      std::unique_ptr<LoraAdapter>(dynamic_cast<LoraAdapter*>(lora.release())), *this, seed);
}

IstAdapter::IstAdapter(std::unique_ptr<LoraAdapter> lora, const IstOptions& options, uint64_t seed)
    : lora_(std::move(lora)), options_(options), seed_(seed) {
  for (const LoraModule& m : lora_->modules()) {
    layers_.push_back(layer_of(m.path));
    if (m.whole) user_error("adapter.targets: ist trains blocks in turn, and \"{}\" is in none", m.path);
  }
  std::sort(layers_.begin(), layers_.end());
  layers_.erase(std::unique(layers_.begin(), layers_.end()), layers_.end());
  importance_.assign(layers_.size(), 0.0);
}

void IstAdapter::set_step(uint64_t seed, uint64_t step, uint64_t micro_batch) {
  lora_->set_step(seed, step, micro_batch);
}

void IstAdapter::save(const std::string& folder, at::ScalarType dtype) {
  lora_->set_base_model(base_model_);
  lora_->save(folder, dtype);
}

std::vector<int64_t> IstAdapter::training() const {
  std::vector<int64_t> out;
  for (const int64_t place : places_) out.push_back(layers_[static_cast<size_t>(place)]);
  return out;
}

void IstAdapter::begin_update(int64_t update, TrainingRun& run) {
  if (update > 0 && update % options_.measure_every == 0) measure(update, run);
  places_ = drawn(update);
  const std::vector<int64_t> training = this->training();
  for (auto& [name, tensor] : lora_->trainable()) {
    if (!name.starts_with("base_model.")) continue;  // modules_to_save train all the time
    tensor.set_requires_grad(std::binary_search(training.begin(), training.end(), layer_of(name)));
  }
}

std::vector<int64_t> IstAdapter::drawn(int64_t update) const {
  std::vector<double> weights;
  for (const double score : importance_) weights.push_back(sigmoid(-score));
  RandomStream random(seed_, "ist.train", static_cast<uint64_t>(update));
  return draw_layers(random, weights, share_of(options_.train_share, layers_.size()));
}

void IstAdapter::measure(int64_t update, TrainingRun& run) {
  std::vector<double> p;
  for (const double score : importance_) p.push_back(sigmoid(score));
  RandomStream random(seed_, "ist.suppress", static_cast<uint64_t>(update));
  const int64_t size = share_of(options_.suppressed_share, layers_.size());
  std::vector<std::vector<int64_t>> sets;
  // So few blocks that there are not enough different sets: the tries end.
  for (int64_t tries = 0; static_cast<int64_t>(sets.size()) < options_.subsets && tries < 1000; ++tries) {
    auto set = draw_layers(random, p, size);
    if (std::find(sets.begin(), sets.end(), set) == sets.end()) sets.push_back(std::move(set));
  }
  std::vector<double> reward;
  double mean = 0;
  for (const auto& set : sets) {
    scale_updates(set, options_.suppress);
    reward.push_back(std::exp(-run.loss()));
    lora_->refresh();
    mean += reward.back() / static_cast<double>(sets.size());
  }
  if (!std::isfinite(mean)) return;  // a loss that is no number says nothing
  for (size_t k = 0; k < sets.size(); ++k) {
    for (const int64_t i : sets[k]) {
      const auto place = static_cast<size_t>(i);
      importance_[place] += options_.score_rate * (reward[k] - mean) * p[place] * (1 - p[place]);
    }
  }
}

// Until the next refresh.
void IstAdapter::scale_updates(const std::vector<int64_t>& places, double factor) {
  for (const LoraModule& m : lora_->modules()) {
    for (const int64_t place : places) {
      if (layers_[static_cast<size_t>(place)] != layer_of(m.path)) continue;
      for (const at::Tensor& b : {m.b_work, m.b0_work}) {
        if (b.defined()) b.mul_(factor);
      }
    }
  }
}

AdapterState IstAdapter::state() {
  return {{{"importance", importance_}, {"training", training()}}, {}};
}

void IstAdapter::load_state(const AdapterState& state, int64_t updates, const std::string& where) {
  std::vector<double> importance;
  std::vector<int64_t> training;
  try {
    importance = state.json.at("importance").get<std::vector<double>>();
    training = state.json.at("training").get<std::vector<int64_t>>();
  } catch (const Json::exception& e) {
    user_error("{}: not a state of ist: {}", where, e.what());
  }
  const bool finite =
      std::all_of(importance.begin(), importance.end(), [](double x) { return std::isfinite(x); });
  if (importance.size() != layers_.size() || !finite)
    user_error("{}: ist: expected {} finite scores, found {}", where, layers_.size(),
               Json(importance).dump());
  importance_ = importance;
  if (updates > 0) places_ = drawn(updates - 1);
  if (training != this->training()) {
    user_error("{}: ist: the blocks {} are not those of this run's update {}", where, Json(training).dump(),
               updates);
  }
}

}  // namespace temper
