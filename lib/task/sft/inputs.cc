#include "task/sft/inputs.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "task/sft/input_kinds.h"
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
    r.add({"masked_thought", "some tokens of the response are read as a mask or as random ones",
           "Chen et al., arXiv 2403.02178", masked_thought_input});
    r.add({"bash", "some tokens of the response are read as what the model would have said",
           "Cen et al., arXiv 2410.14655", bash_input});
    r.add({"rac", "the model's own answer stands before the reference, which it learns to correct it to",
           "Cen et al., arXiv 2410.14655", rac_input});
    r.add({"leti", "a control token for success or failure, and a failure's feedback, before each solution",
           "Wang et al., arXiv 2305.10314", leti_input});
    r.add({"ilf", "the refinement that uses the feedback best becomes the completion",
           "Scheurer et al., arXiv 2303.16755", ilf_input});
    return r;
  }();
  return registry;
}

std::set<std::string> files_with(const Records& records, const std::string& column, const std::string& who) {
  std::set<std::string> out;
  for (const Record& record : records) {
    if (has_column(record.json, column)) out.insert(record.file);
  }
  if (out.empty() && !records.empty())
    user_error("{}: has no column \"{}\", which {} needs, nor has any other record", records.front().where(),
               column, who);
  return out;
}

void insert_tokens(RewardedExample& e, int64_t at, const std::vector<int64_t>& ids) {
  e.ids.insert(e.ids.begin() + at, ids.begin(), ids.end());
  if (!e.input.empty()) e.input.insert(e.input.begin() + at, ids.begin(), ids.end());
  e.target.insert(e.target.begin() + at, ids.size(), false);
  if (e.reward.empty()) return;
  const double beside = e.reward[std::min(static_cast<size_t>(at), e.reward.size() - 1)];
  e.reward.insert(e.reward.begin() + at, ids.size(), beside);
}

void erase_tokens(RewardedExample& e, int64_t from, int64_t to) {
  e.ids.erase(e.ids.begin() + from, e.ids.begin() + to);
  if (!e.input.empty()) e.input.erase(e.input.begin() + from, e.input.begin() + to);
  e.target.erase(e.target.begin() + from, e.target.begin() + to);
  if (!e.reward.empty()) e.reward.erase(e.reward.begin() + from, e.reward.begin() + to);
}

Inputs::Inputs(const std::vector<InputEntry>& entries, Session& session) : session_(session) {
  for (const InputEntry& entry : entries) transforms_.push_back(entry.options->make());
}

void Inputs::records() {
  for (const auto& transform : transforms_) transform->records(session_);
}

void Inputs::example(int64_t at, const Record& record, RewardedExample& example) {
  for (const auto& transform : transforms_) transform->example(session_, at, record, example);
}

bool Inputs::changes_examples() const {
  return std::any_of(transforms_.begin(), transforms_.end(),
                     [](const auto& transform) { return transform->changes_examples(); });
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
