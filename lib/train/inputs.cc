#include "train/inputs.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "train/input_kinds.h"
#include "train/session.h"

namespace temper {

const Registry<InputOptions>& input_registry() {
  static const Registry<InputOptions> registry = [] {
    Registry<InputOptions> r("input");
    r.add({"filter", "leaves out records whose reward is too low", "Korbak et al., arXiv 2302.08582",
           filter_input});
    r.add({"conditional", "a control token for good or bad before each example; generate with the good one",
           "Korbak et al., arXiv 2302.08582", conditional_input});
    r.add({"neftune", "uniform noise on the embeddings of training examples", "Jain et al., arXiv 2310.05914",
           neftune_input});
    return r;
  }();
  return registry;
}

Inputs::Inputs(const std::vector<InputEntry>& entries, Session& session) : session_(session) {
  for (const InputEntry& entry : entries) transforms_.push_back(entry.options->make());
}

void Inputs::records() {
  for (const auto& transform : transforms_) transform->records(session_);
  if (session_.train_records.empty()) user_error("inputs: they leave no record of data.train");
}

void Inputs::step(std::vector<Drawn>& drawn) {
  for (const auto& transform : transforms_) transform->step(session_, drawn);
}

at::Tensor Inputs::embedding_noise(const std::vector<Drawn>& drawn, const MicroBatch& batch) {
  at::Tensor sum;
  for (const auto& transform : transforms_) {
    const at::Tensor noise = transform->embedding_noise(session_, drawn, batch);
    if (noise.defined()) sum = sum.defined() ? sum + noise : noise;
  }
  return sum;
}

}  // namespace temper
