// The mean, and what the other methods take from it.
//   linear: W = sum_i w_i W_i, the w_i divided by their sum unless `normalise` is off
#include <ATen/ATen.h>

#include "base/error.h"
#include "base/json.h"
#include "merge/kinds.h"

namespace temper {

Json MergeMethod::summary() const {
  return Json::object();
}

at::Tensor weighted_sum(const std::vector<StoredTensor>& models, const std::vector<double>& weights,
                        int64_t begin, int64_t end) {
  at::Tensor sum = models[0].piece(begin, end).mul_(weights[0]);
  for (size_t i = 1; i < models.size(); ++i) sum.add_(models[i].piece(begin, end), weights[i]);
  return sum;
}

std::vector<double> normalised(const std::vector<double>& weights) {
  double sum = 0;
  for (const double w : weights) sum += w;
  if (sum == 0) user_error("models: the weights add up to 0, and a mean divides by their sum");
  std::vector<double> out = weights;
  for (double& w : out) w /= sum;
  return out;
}

at::Tensor weighted_mean(const MergeTensor& t) {
  const std::vector<double> weights = normalised(t.weights);
  return made_in_pieces(t.shape(), t.dtype, [&](int64_t begin, int64_t end) {
    return weighted_sum(t.models, weights, begin, end);
  });
}

namespace {

struct Linear : MergeMethod {
  bool normalise;
  explicit Linear(bool normalise) : normalise(normalise) {}
  at::Tensor merge(const MergeTensor& t, Json&) const override {
    if (normalise) return weighted_mean(t);
    return made_in_pieces(t.shape(), t.dtype, [&](int64_t begin, int64_t end) {
      return weighted_sum(t.models, t.weights, begin, end);
    });
  }
};

struct LinearOptions : MergeOptions {
  bool normalise = true;
  void fields(FieldVisitor& v) override {
    v.field("normalise", normalise, {.help = "the weights are divided by their sum"});
  }
  MergeNeeds needs() const override { return {.weights = MergeNeeds::kAny}; }
  std::unique_ptr<MergeMethod> make() const override { return std::make_unique<Linear>(normalise); }
};

}  // namespace

std::unique_ptr<MergeOptions> merge_linear() {
  return std::make_unique<LinearOptions>();
}

}  // namespace temper
