// Model Stock (arXiv 2403.19522), layer by layer, each tensor being one: with T_i = W_i - W_0 of k models and
// c the mean of cos(T_i, T_j) over pairs,
//   t = k c / ((k - 1) c + 1),  W = t (mean of W_i) + (1 - t) W_0.
// The paper draws acute angles alone. Where c is negative t is 0, the base; mergekit goes on with the
// formula, which leads far away near c = -1 / (k - 1). A pair with a zero vector counts as a right angle.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "merge/kinds.h"
#include "merge/task_vectors.h"

namespace temper {
namespace {

// The mean of the cosines of all pairs.
double mean_cosine(const MergeTensor& t) {
  const auto k = static_cast<int64_t>(t.models.size());
  at::Tensor products = at::zeros({k, k}, at::kDouble);
  in_pieces(t.numel(), [&](int64_t begin, int64_t end) {
    const at::Tensor base = t.base->piece(begin, end);
    std::vector<at::Tensor> deltas;
    for (size_t i = 0; i < t.models.size(); ++i)
      deltas.push_back(task_vector(t, i, base, begin, end).to(at::kDouble));
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t j = i; j < k; ++j)
        products[i][j] += deltas[static_cast<size_t>(i)].dot(deltas[static_cast<size_t>(j)]);
    }
  });
  const auto p = products.accessor<double, 2>();
  double sum = 0;
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t j = i + 1; j < k; ++j) {
      const double norms = std::sqrt(p[i][i]) * std::sqrt(p[j][j]);
      if (norms > 0) sum += p[i][j] / norms;
    }
  }
  return sum / (static_cast<double>(k * (k - 1)) / 2);
}

struct ModelStock : MergeMethod {
  at::Tensor merge(const MergeTensor& t, Json& figures) const override {
    const auto k = static_cast<double>(t.models.size());
    const double cosine = mean_cosine(t);
    const double c = std::clamp(cosine, 0.0, 1.0), ratio = k * c / ((k - 1) * c + 1);
    figures["cosine"] = cosine;
    figures["t"] = ratio;
    const std::vector<double> mean(t.models.size(), ratio / k);
    return made_in_pieces(t.shape(), t.dtype, [&](int64_t begin, int64_t end) {
      return weighted_sum(t.models, mean, begin, end).add_(t.base->piece(begin, end), 1 - ratio);
    });
  }
};

struct ModelStockOptions : MergeOptions {
  void fields(FieldVisitor&) override {}
  MergeNeeds needs() const override { return {.base = MergeNeeds::kRequired}; }
  std::unique_ptr<MergeMethod> make() const override { return std::make_unique<ModelStock>(); }
};

}  // namespace

std::unique_ptr<MergeOptions> merge_model_stock() {
  return std::make_unique<ModelStockOptions>();
}

}  // namespace temper
